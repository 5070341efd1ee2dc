"""The card of an export says what was measured, and shows names as names."""

import json
import shutil

import pytest

from glr_keras.calibration.rejector import load_rejector
from glr_keras.exporting.model_card import code, write_model_card


@pytest.fixture
def run(small_run, tmp_path):
    target = tmp_path / "my run"
    shutil.copytree(small_run, target)
    return target


def card_of(run, data_dir, style="savedmodel", accept=None):
    rejector = load_rejector(run, accept)
    hashes, compared = {"model.bin": "ab12"}, "| compared | well |"
    write_model_card(run, run, data_dir, hashes, style, compared, rejector)
    return (run / "MODEL_CARD.md").read_text()


def test_every_export_has_a_card_with_hashes(small_export):
    card = (small_export / "1" / "MODEL_CARD.md").read_text()
    description = json.loads((small_export / "1" / "assets.extra" / "glr_keras.json").read_text())
    for name, digest in description["sha256"].items():
        assert f"| `{name}` | `{digest}` |" in card
    assert "| against Keras | on 10 test photos: probabilities differ by at most" in card


def test_a_card_has_data_metrics_with_intervals_weak_landmarks_and_limits(run, demo_data):
    card = card_of(run, demo_data)
    metrics = json.loads((run / "metrics.json").read_text())
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Model details",
        "## Uses",
        "## Bias, risks and limitations",
        "## How to get started",
        "## Training data",
        "## Training procedure",
        "## Evaluation",
        "## Technical specifications",
    ]
    assert "# Model card: `my run`" in card
    assert "30 train, 10 validation and 10 test photos" in card
    assert "Per landmark 3 to 3 train photos" in card
    assert f"| test | answer | 10 | {metrics['test']['accuracy']:.1%} [" in card
    assert "random weights, drawn from a seed" in card
    assert "fitted to 10 validation photos" in card
    assert "python -m glr_keras.fit --data-dir" in card
    assert "`tensorflow`" in card
    assert "{{" not in card
    assert "None" not in card


def test_the_licence_of_vgg16_and_the_threshold_are_named(run, demo_data):
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["weights"] = "imagenet"
    (run / "metrics.json").write_text(json.dumps(metrics))
    card = card_of(run, demo_data, "onnx")
    assert "Visual Geometry Group, University of Oxford, CC BY 4.0" in card
    temperature = metrics["rejection"]["temperature"]
    known = f"at the temperature {temperature:.3g}, fitted to 10 validation photos so that"
    assert f"{known} 95 %" in card
    assert "onnxruntime.InferenceSession" in card
    assert f"{known} 80 %" in card_of(run, demo_data, accept=0.8)  # the export's, not the run's


def test_names_are_shown_as_names():
    assert code("a|b`<script>\n") == "`a\\|b'<script>\\x0a`"
