"""Whether maps agree between runs, and whether they depend on what a model has learned."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from glr_keras.explaining.measuring import read_views
from glr_keras.explaining.photos import chosen_photos
from glr_keras.inference.landmark_model import load
from glr_keras.models.backbones import hash_weights
from glr_keras.models.landmark_maps import (
    in_batches,
    is_of_a_landmark,
    landmark_maps,
    map_names,
)
from glr_keras.models.recognizer import Recognizer
from glr_keras.runs.run_dir import RunDir, report_command
from glr_keras.saliency.stability import randomization_check, rank_correlations, stability
from tfrecords.common.console import UserError
from tfrecords.common.files import write_json

STABILITY_COUNT = 200  # photos, if no number is asked for
SANITY_COUNT = 16


def compare_runs(args: argparse.Namespace) -> int:
    """Does what `--stability` asks for; returns how many photos could not be read."""
    models = [load(path) for path in args.models]
    photos = list(chosen_photos(args, STABILITY_COUNT))
    failed, kept = 0, {}
    maps: dict[str, list[np.ndarray]] = {}  # name -> of each model
    names = [set(map_names(model.recognizer.head)) for model in models]
    common = [
        name for name in map_names(models[0].recognizer.head) if name in set.intersection(*names)
    ]
    if not common:
        raise UserError("These runs have no map in common: one has no attention branch.")
    for model in models:
        key = (hash_weights(model.recognizer.backbone), model.image_size, model.short_side)
        if key not in kept:  # runs of one backbone share their features
            views, _, failed = read_views(model, photos, float("inf"))
            kept[key] = _features(model.recognizer, views)
        for name in common:
            maps.setdefault(name, []).append(landmark_maps(model.recognizer.head, kept[key], name))
    found = {name: stability(of_runs) for name, of_runs in maps.items()}
    print(
        f"{len(models)} runs, {len(maps[common[0]][0])} photos; means over photos and pairs of runs"
    )
    print(
        f"{'':<12} {'rank correlation':>17} {'of the worst pair':>18} {'overlap of top 20 %':>20}"
    )
    for name, one in found.items():
        worst, overlap = one["lowest_rank_correlation"], one["top_overlap"]
        print(f"{name:<12} {one['rank_correlation']:>17.3f} {worst:>18.3f} {overlap:>20.3f}")
    _save(args, "stability.json", found)
    if args.out is None and not args.photos:
        keep_stability(RunDir(args.models[0]), args.models, len(maps[common[0]][0]), found)
    return failed


def keep_stability(run: RunDir, models: Sequence[Path], photos: int, found: dict) -> None:
    """Adds what was found to the `metrics.json` of the first run, for its report."""
    names = [path.resolve().name for path in models]
    metrics = json.loads(run.metrics.read_text(encoding="utf-8"))
    kept = {"runs": names, "photos": photos, "maps": found}
    run.write_json("metrics.json", metrics | {"stability": kept})
    print(f"Numbers: {run.metrics}. In one page with all else: {report_command(run.path)}")


def check_sanity(args: argparse.Namespace) -> int:
    """Does what `--sanity` asks for; returns how many photos could not be read."""
    model = load(args.models[0])
    photos = list(chosen_photos(args, SANITY_COUNT))
    views, _, failed = read_views(model, photos, float("inf"))
    recognizer = model.recognizer
    features = _features(recognizer, views)
    labels = in_batches(recognizer.head.probabilities, features).argmax(1)
    found = {}
    for name in map_names(recognizer.head):

        def maps(name=name):
            return landmark_maps(recognizer.head, _features(recognizer, views), name, labels)

        found[name] = {
            "layers": randomization_check(randomization_stages(recognizer), maps),
            "another_landmark": another_landmark(recognizer.head, features, name, labels),
        }
    _print_sanity(found, len(views))
    if not all(is_of_a_landmark(recognizer.head, name) for name in found):
        print(
            "This attention map is one for all landmarks, so it can't pass the last test: it says "
            "where the model looked, not what speaks for which landmark."
        )
    _save(args, "sanity.json", found)
    return failed


def another_landmark(head: keras.Model, features: np.ndarray, name: str, labels) -> float:
    """Mean rank correlation of maps of the answer with those of another, random landmark."""
    random = np.random.default_rng(0)
    others = (labels + random.integers(1, head.num_landmarks, len(labels))) % head.num_landmarks
    pair = [landmark_maps(head, features, name, one) for one in (labels, others)]
    return float(rank_correlations(*pair).mean())


def randomization_stages(recognizer: Recognizer) -> list[tuple[str, list]]:
    """Returns the weights of a recogniser from the top down: parts of the head, then layers.

    The backbone's layers are taken together by block, as their names begin alike.
    """
    parts = [(layer.name, layer.weights) for layer in reversed(recognizer.head.layers)]
    blocks: dict[str, list] = {}
    for layer in _layers_below(recognizer.backbone):
        stem, _, rest = layer.name.partition("_")
        block = f"block {rest.split('_')[0]}" if stem == "block" else stem
        blocks.setdefault(f"backbone {block}", []).extend(layer.weights)
    return [one for one in [*parts, *reversed(blocks.items())] if one[1]]


def _layers_below(model):
    """Yields all layers in their order, those of models inside as well."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_below(layer)
        else:
            yield layer


def _print_sanity(found, photos):
    names = list(found)
    print(f"{photos} photos. Rank correlation with the maps of the trained model; 0 if unrelated.")
    print(f"{'randomised down to':<32}" + "".join(f"{name:>12}" for name in names))
    for row in zip(*(found[name]["layers"] for name in names), strict=True):
        print(f"{row[0][0]:<32}" + "".join(f"{value:>12.3f}" for _, value in row))
    values = "".join(f"{found[name]['another_landmark']:>12.3f}" for name in names)
    print(f"{'map of another landmark':<32}{values}")


def _features(recognizer, views):
    return in_batches(lambda part: recognizer.backbone(part, training=False), views)


def _save(args, name, found):
    if args.out is not None:
        write_json(args.out / name, found)
        print(f"Numbers: {args.out / name}")
