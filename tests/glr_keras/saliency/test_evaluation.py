"""faithfulness(): a planted model that looks at one cell, the time budget, and what is refused."""

import json

import keras
import numpy as np
import pytest

import glr_keras
from glr_keras.saliency import evaluation

SIDE, CELLS = 32, 4
CELL = (0, 3)  # the only one whose content speaks for the answer; all else speaks against
EVERY_MEASURE = [
    "deletion_mean",
    "deletion_blur",
    "insertion_mean",
    "insertion_blur",
    "deletion_correlation",
    "insertion_correlation",
    "road",
    "average_drop",
    "increase",
    "average_gain",
    "pointing",
    "inside",
    "box_auc",
]


def some_photos(count=6):
    """Stripes, of which a blur or an imputation leaves nothing."""
    light = np.random.default_rng(0).uniform(20, 40, (count, 1, 1, 1))
    stripes = np.where(np.arange(SIDE) % 2, 1.0, -1.0)[None, None, :, None]
    return (128 + light * stripes * np.ones((1, SIDE, SIDE, 3))).astype(np.float32)


def planted_model(photos):
    """Knows its class by the contrast in one cell, against contrast everywhere."""
    contrast = np.abs(np.diff(photos[..., 0], axis=2, append=photos[:, :, -2:-1, 0]))
    contrast = contrast.reshape(len(photos), CELLS, SIDE // CELLS, CELLS, SIDE // CELLS)
    contrast = contrast.mean((2, 4))
    logit = 0.2 * contrast[:, *CELL] - 0.15 * contrast.mean((1, 2)) - 1.5
    known = 1 / (1 + np.exp(-logit))
    return np.stack([known, 1 - known], 1)


def maps_of(values, count=6):
    return np.repeat(np.asarray(values, float)[None], count, 0)


def true_map():
    cells = np.zeros((CELLS, CELLS))
    cells[CELL] = 1
    return cells


def test_every_measure_ranks_the_true_map_of_a_planted_model_first():
    beside = np.roll(true_map(), 1, axis=0)
    maps = {"wrong": 1 - true_map(), "beside": beside, "true": true_map()}
    box = [0, 3 / 4, 1 / 4, 1]
    result = glr_keras.faithfulness(
        planted_model,
        some_photos(),
        {name: maps_of(one) for name, one in maps.items()},
        boxes=np.array([box] * 6),
    )
    assert result.measures == EVERY_MEASURE
    for measure in EVERY_MEASURE:
        assert result.ranking(measure)[0] == "true", measure
        for wrong in ("wrong", "beside"):
            assert result.mean("true", measure) != result.mean(wrong, measure), measure
    assert set(result.scores) == {"true", "beside", "wrong", "centre", "random"}
    assert result.difference("road", "true", "random").is_better
    assert result.difference("deletion_mean", "true", "wrong").is_better
    assert result.difference("deletion_mean", "wrong", "true").is_better is False


def test_the_answer_is_the_class_predicted_on_the_clean_photo():
    def other_class(photos):
        return planted_model(photos)[:, ::-1]

    maps = {"true": maps_of(true_map())}
    first, second = (
        glr_keras.faithfulness(model, some_photos(), maps, controls=False)
        for model in (planted_model, other_class)
    )
    for measure in first.measures:
        assert first.mean("true", measure) == second.mean("true", measure)


def test_a_keras_model_is_measured_and_the_table_names_all():
    photos_in = keras.Input((SIDE, SIDE, 3))
    hidden = keras.layers.AveragePooling2D(8)(keras.layers.Rescaling(1 / 255)(photos_in))
    model = keras.Model(photos_in, keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(hidden)))
    result = glr_keras.faithfulness(model, some_photos(3), maps_of(true_map(), 3), batch_size=7)
    shown = str(result)
    assert result.parameters["photos"] == 3
    assert "3 photos; * lower is better." in shown
    assert "map against random: " in shown
    as_dict = result.as_dict()
    assert set(as_dict) == {"parameters", "maps", "differences", "fractions", "curves"}
    curve = as_dict["curves"]["map"]["deletion_mean"]
    assert curve == result.curves["map"]["deletion_mean"].mean(0).tolist()
    assert len(curve) == len(as_dict["fractions"])
    json.dumps(as_dict, allow_nan=False)  # three photos have no interval
    assert as_dict["maps"]["map"]["road"]["interval"] == [None, None]
    assert list(as_dict["differences"]) == ["map - centre", "map - random"]
    clean = model.predict(some_photos(3), verbose=0)
    np.testing.assert_allclose(result.curves["map"]["deletion_mean"][:, 0], clean.max(1), rtol=1e-5)


def test_the_same_seed_gives_the_same_numbers():
    maps = {"true": maps_of(true_map())}
    one, same, other = (
        glr_keras.faithfulness(planted_model, some_photos(), maps, seed=seed) for seed in (0, 0, 1)
    )
    assert one.as_dict() == same.as_dict()
    assert one.mean("random", "road") != other.mean("random", "road")


def test_photos_are_measured_until_the_time_is_used_up(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: now[0])

    def slow_model(photos):
        now[0] += 1
        return planted_model(photos)

    def measured(seconds):
        now[0] = 0
        result = glr_keras.faithfulness(
            slow_model, some_photos(), maps_of(true_map()), seconds=seconds, batch_size=50
        )
        assert now[0] <= seconds
        return result

    whole = measured(1000)
    batches = now[0] / 6  # of one photo, a second each
    result = measured(2.5 * batches)
    assert result.parameters["photos"] == 2
    assert len(result.curves["map"]["deletion_mean"]) == 2
    assert np.isnan(result.scores["map"]["road"]).tolist() == [False] * 2 + [True] * 4
    assert result.mean("map", "road") == whole.scores["map"]["road"][:2].mean()
    with pytest.raises(ValueError, match=rf"One photo takes about {batches:.0f} s here: \d+ "):
        measured(batches - 1)


def test_features_are_measured_with_a_mean_of_their_own():
    features = np.random.default_rng(0).normal(size=(4, 7, 7, 5)).astype(np.float32)
    features[:, 2, 3, 0] += 50

    def head(cells):
        logits = cells.mean((1, 2))
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    result = glr_keras.faithfulness(
        head,
        features,
        {"cam": np.maximum(features[..., 0], 0)},
        mean=features.mean((0, 1, 2)),
        groups=("deletion", "insertion"),
        baselines=("mean",),
    )
    assert result.measures == [
        "deletion_mean",
        "insertion_mean",
        "deletion_correlation",
        "insertion_correlation",
    ]
    assert result.ranking("deletion_mean")[0] == "cam"
    assert result.parameters["mean"] == "given"


def test_maps_of_two_grids_are_compared_on_the_coarser_one():
    fine = np.kron(true_map(), np.ones((2, 2)))
    result = glr_keras.faithfulness(
        planted_model,
        some_photos(),
        {"fine": maps_of(fine), "coarse": maps_of(true_map())},
        controls=False,
    )
    assert result.parameters["grid"] == [CELLS, CELLS]
    assert result.scores["fine"]["deletion_mean"].tolist() == (
        result.scores["coarse"]["deletion_mean"].tolist()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maps": np.zeros((5, 4, 4))}, r"maps\['map'\]: expected \(6, rows, columns\), got \(5,"),
        ({"maps": np.full((6, 4, 4), np.nan)}, "has values that are no numbers"),
        ({"maps": {}}, "expected at least one map"),
        ({"photos": np.zeros((6, 8, 8))}, r"expected photos \(n, height, width, channels\)"),
        ({"boxes": np.zeros((6, 2))}, r"expected boxes \(6, 4\), got \(6, 2\)"),
        ({"groups": ["deletions"]}, "groups: expected names among deletion, .* got 'deletions'"),
        ({"baselines": ["black"]}, "baselines: expected names among mean, blur, got 'black'"),
        ({"model": lambda photos: photos.mean((1, 2))}, "Put a softmax behind the model"),
        ({"model": lambda photos: {"perception": 0}}, "not 'probabilities'"),
        ({"model": lambda photos: photos}, r"expected \(32, classes\) from the model"),
    ],
)
def test_a_call_that_can_t_work_says_why(changes, message):
    call = {"model": planted_model, "photos": some_photos(), "maps": maps_of(true_map())}
    with pytest.raises(ValueError, match=message):
        glr_keras.faithfulness(**(call | changes))
