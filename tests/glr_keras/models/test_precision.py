"""The choice of a precision: measured where it is in doubt, kept, and used again."""

import errno
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.models import precision
from glr_keras.models.precision import choose_precision, measure_precisions
from tfrecords.common.console import UserError

CONFIG = FitConfig(image_size=32)


@pytest.fixture
def in_doubt(monkeypatch):
    """A processor with bfloat16 instructions."""
    monkeypatch.setattr(precision, "cpu_flags", lambda: {"sse", "avx512_bf16"})


@pytest.fixture
def measured(in_doubt, monkeypatch):
    """Gives the measurement a result; returns the list of configs that were measured."""
    configs = []

    def set_result(float32, bfloat16):
        def measure(config):
            configs.append(config)
            return {"float32": float32, "bfloat16": bfloat16}

        monkeypatch.setattr(precision, "measure_precisions", measure)
        return configs

    return set_result


@pytest.mark.parametrize("named", ["float32", "bfloat16"])
def test_a_precision_that_was_named_is_not_touched(named, tmp_path, measured, capsys):
    configs = measured(1, 1)
    config = FitConfig(image_size=32, precision=named)
    assert choose_precision(config, tmp_path / "features") is config
    assert not configs
    assert not (tmp_path / "features").exists()
    assert capsys.readouterr().out == ""


# bfloat16 must be a tenth faster: it rounds more.
@pytest.mark.parametrize(
    ("seconds", "chosen"), [(0.5, "bfloat16"), (0.9, "bfloat16"), (0.92, "float32"), (3, "float32")]
)
def test_the_faster_one_is_chosen_and_printed(seconds, chosen, tmp_path, measured, capsys):
    measured(1, seconds)
    config = choose_precision(CONFIG, tmp_path)
    assert config == FitConfig(image_size=32, precision=chosen)
    assert capsys.readouterr().out == (
        f"Precision of the backbone: {chosen} (measured here: float32 8.0 photos/s, bfloat16 "
        f"{8 / seconds:.1f} photos/s).\n"
    )


def test_weights_that_are_not_there_are_named_before_anything_is_measured(tmp_path, measured):
    configs = measured(1, 0.5)
    config = FitConfig(image_size=32, weights=str(tmp_path / "none.h5"))
    with pytest.raises(UserError, match=r"none\.h5: expected imagenet, random or a file"):
        choose_precision(config, tmp_path / "features")
    assert not configs
    assert not (tmp_path / "features").exists()


def test_the_choice_is_kept_and_used_again(tmp_path, measured, capsys):
    configs = measured(1, 0.5)
    first = choose_precision(CONFIG, tmp_path / "features")
    measured(1, 2)
    assert choose_precision(CONFIG, tmp_path / "features") == first
    assert configs == [CONFIG]
    assert capsys.readouterr().out.count("Precision of the backbone") == 1
    (case,) = json.loads((tmp_path / "features" / "precision.json").read_text())
    assert case.startswith("vgg16 at 32 pixels on ")


@pytest.mark.parametrize("other", [{"image_size": 64}, {"backbone": "mobilenet_v2"}])
def test_each_backbone_and_size_is_measured_for_itself(other, tmp_path, measured):
    configs = measured(1, 0.5)
    choose_precision(CONFIG, tmp_path)
    measured(1, 2)
    config = FitConfig(**{"image_size": 32} | other)
    assert choose_precision(config, tmp_path).precision == "float32"
    assert choose_precision(CONFIG, tmp_path).precision == "bfloat16"
    assert configs == [CONFIG, config]


def test_another_processor_measures_for_itself(tmp_path, measured, monkeypatch):
    measured(1, 0.5)
    choose_precision(CONFIG, tmp_path)
    measured(1, 2)
    monkeypatch.setattr(precision, "cpu_name", lambda: "another")
    assert choose_precision(CONFIG, tmp_path).precision == "float32"


@pytest.mark.parametrize(
    "harm", [lambda t: t[:-9], lambda t: t.replace("float", "fl0at"), lambda _: "[]"]
)
def test_a_damaged_choice_is_named_and_measured_again(harm, tmp_path, measured, capsys):
    measured(1, 0.5)
    choose_precision(CONFIG, tmp_path)
    path = tmp_path / "precision.json"
    whole = path.read_text()
    path.write_text(harm(whole))
    assert choose_precision(CONFIG, tmp_path).precision == "bfloat16"
    said = f"warning: {path} was damaged; the precision is measured again.\n"
    assert capsys.readouterr().err == said
    assert path.read_text() == whole


def test_a_folder_that_cannot_be_written_keeps_no_choice(tmp_path, measured, monkeypatch):
    configs = measured(1, 0.5)

    def refuse(*_arguments, **_settings):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    for _ in range(2):
        assert choose_precision(CONFIG, tmp_path / "features").precision == "bfloat16"
    assert len(configs) == 2
    assert list(tmp_path.iterdir()) == []


def test_runs_that_start_together_measure_once(tmp_path, measured):
    configs = measured(1, 0.5)
    sizes = [FitConfig(image_size=size) for size in (32, 32, 48, 64)]
    with ThreadPoolExecutor(4) as threads:  # each with a lock of its own, as processes have
        chosen = list(threads.map(lambda config: choose_precision(config, tmp_path), sizes))
    assert {config.precision for config in chosen} == {"bfloat16"}
    assert sorted(config.image_size for config in configs) == [32, 48, 64]
    assert len(json.loads((tmp_path / "precision.json").read_text())) == 3  # none was lost


def test_a_processor_without_bfloat16_is_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "cpu_flags", lambda: {"sse", "avx512f"})
    monkeypatch.setattr(precision, "measure_precisions", None)  # a call would fail
    assert choose_precision(CONFIG, tmp_path).precision == "float32"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("capability", "chosen"), [((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")]
)
def test_a_gpu_s_generation_decides(capability, chosen, tmp_path, monkeypatch):
    details = {"compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda device: details)
    assert choose_precision(CONFIG, tmp_path).precision == chosen


def test_both_are_measured_here():
    seconds = measure_precisions(FitConfig(image_size=32, cut_layer="block2_pool"))
    assert list(seconds) == ["float32", "bfloat16"]
    assert all(0 < value < 60 for value in seconds.values())


def test_a_slow_bfloat16_is_measured_on_one_photo_only(monkeypatch):
    timed = []

    def time(backbone, photos):
        timed.append((backbone.precision, len(photos)))
        return {"float32": 1, "bfloat16": 10}[backbone.precision] * len(photos)

    class Backbone:
        def __init__(self, config):
            self.precision = config.precision

        def predict_on_batch(self, photos):
            pass

    monkeypatch.setattr(precision, "build_backbone", Backbone)
    monkeypatch.setattr(precision, "_time", time)
    assert measure_precisions(CONFIG) == {"float32": 8, "bfloat16": 80}
    assert timed == [("float32", 1), ("float32", 8), ("bfloat16", 1)]


def test_the_processor_has_a_name():
    path = Path("/proc/cpuinfo")
    assert precision.cpu_name()
    if path.exists():
        assert precision.cpu_name() in path.read_text() or "model name" not in path.read_text()
