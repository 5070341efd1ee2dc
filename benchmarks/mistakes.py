"""What each mistake of the report's notebooks costs: python benchmarks/mistakes.py --data-dir DATA

Over an ABN of `--preset report`, each mistake of docs/results.md is made alone, then those of the
model together, then all of them, then all but one. Printed are the accuracies after the last epoch
and what is lost against the ABN without a mistake, in points. The mistakes live in this folder.

Mistake 5 has a cheap half, random weights that stay as they are; with --live all weights learn, as
they did in the notebooks. Mistake 8 has other photos in its splits, so it is no part of the rows of
several mistakes. Each training that is over is kept in --out, and the same command goes on.
"""

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from show import print_context

from glr_keras.config import BACKBONES, new_config
from tfrecords.common.console import run_command, start_tensorflow
from tfrecords.common.files import write_atomically

MISTAKES = {
    1: "softmax, and softmax again in the loss",
    2: "one loss, of a sum of outputs",
    3: "f times M",
    4: "average at stride 1, flatten, linear",
    5: "random weights",
    6: "photos not normalized",
    7: "momentum lost after each epoch",
    8: "split in file order, copies anywhere",
}
OF_THE_MODEL, ALL, OF_FEATURES = {1, 2, 3, 4}, {1, 2, 3, 4, 5, 6, 7}, {5, 6, 8}
ROWS = {  # name -> mistakes
    "0": set(),
    **{str(number): {number} for number in (1, 2, 3, 4, 7)},
    "1-4": OF_THE_MODEL,
    "6": {6},
    "5": {5},
    "1-7": ALL,
    **{f"1-7 without {number}": ALL - {number} for number in sorted(ALL)},
    "8": {8},
}
BRANCHES = ("perception", "attention", "both")
SPLITS = ("validation", "test")
SETTINGS = ("backbone", "weights", "image_size", "head_units", "attention_channels", "epochs")


def main():
    args = parse_arguments()
    print_context()
    start_tensorflow()
    from mistaken_features import mistaken_views

    from glr_keras.data.records import open_records
    from glr_keras.models.precision import choose_precision

    flags = {name: value for name in SETTINGS if (value := getattr(args, name)) is not None}
    flags |= {"views": args.views, "feature_seed": 0, "features_dir": args.features_dir}
    config = new_config({**flags, "data_dir": str(args.data_dir)}, "report")
    records = open_records(args.data_dir)
    config = choose_precision(config, config.features_path)
    views = functools.cache(functools.partial(mistaken_views, records, config))
    trainings = Trainings(records, views, args.live, args.out)
    found = {row: [] for row in args.rows}
    for seed in range(args.seeds):
        for row in args.rows:
            seeded = dataclasses.replace(config, seed=seed)
            found[row].append(trainings.train(seeded, ROWS[row]))
        print("\n" + "\n".join(table(found, args.live)) + "\n", flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="records")
    parser.add_argument("--features-dir", default="", help="default: features/ in --data-dir")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmarks/mistakes"))
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=ROWS, help="default: all")
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each row")
    parser.add_argument("--live", action="store_true", help="in mistake 5, all weights learn")
    parser.add_argument("--backbone", default="vgg16", choices=BACKBONES)
    parser.add_argument("--weights", default="imagenet")
    for flag in ("--image-size", "--attention-channels", "--epochs"):
        parser.add_argument(flag, type=int, help="default: the report's")
    parser.add_argument("--head-units", type=int, nargs="*", help="default: the report's")
    parser.add_argument("--views", type=int, default=0, help="default: one per epoch")
    args = parser.parse_args()
    args.rows = list(dict.fromkeys(["0", *args.rows]))
    args.head_units = tuple(args.head_units) if args.head_units is not None else None
    return args


@dataclasses.dataclass(frozen=True)
class Trainings:
    """What all trainings share.

    Attributes:
        records: From `data.open_records`.
        views: Function from a frozenset of mistakes to the features that have these.
        is_live: Bool, whether all weights learn in mistake 5.
        out: Folder of what is over.
    """

    records: object
    views: Callable
    is_live: bool
    out: Path

    def train(self, config, mistakes):
        """Trains with one seed and says how it ended, or reads that where it is known.

        Returns:
            Dict of "photos" (split -> ids), "correct" (branch -> split -> list of bools), "loss"
            (of the last epoch) and "seconds".
        """
        is_live = self.is_live and 5 in mistakes
        made = self._settings(config) | {"mistakes": sorted(mistakes), "live": is_live}
        name = "-".join(map(str, sorted(mistakes))) or "0"
        path = self.out / f"{name}{'-live' * is_live}-seed{config.seed}.json"
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["made"] == made:
                return kept
        print(f"Mistakes {name}{', live' * is_live}, seed {config.seed}:", flush=True)
        started = time.monotonic()
        result = {"made": made, **self._train(config, mistakes, is_live)}
        result["seconds"] = round(time.monotonic() - started)
        self.out.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(result))
        shown = ", ".join(f"{branch} {_accuracies([result], branch)}" for branch in BRANCHES)
        print(f"{shown} % of validation / test photos; {result['seconds']} s", flush=True)
        return result

    def _settings(self, config):
        """Returns what a result depends on, wherever files lie."""
        settings = json.loads(json.dumps(vars(config)))
        for name in ("data_dir", "features_dir"):
            del settings[name]
        records = self.records.fingerprint
        return settings | {"records": records, "weights": Path(config.weights).name}

    def _train(self, config, mistakes, is_live):
        import keras
        from mistaken_models import train_live, train_stored

        keras.backend.clear_session()  # graphs of the training before take memory
        if is_live:
            return train_live(self.records, config, mistakes)
        views = self.views(frozenset(mistakes & OF_FEATURES))
        return train_stored(views, config, len(self.records.landmarks), mistakes)


def table(found, is_live):
    """Returns the lines of a Markdown table, of all that was trained so far.

    Args:
        found: Row -> list of what `Trainings.train` returned, the first row without mistakes.
        is_live: Bool, whether all weights learned in mistake 5.
    """
    lines = [
        "| mistakes | perception branch | attention branch | both | perception branch loses | "
        "both lose | loss |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, results in found.items():
        cells = [_describe(row, is_live)]
        for branch in BRANCHES:
            cells.append(_accuracies(results, branch))
        for branch in ("perception", "both"):
            points, half_width = cost(found["0"], results, branch)
            cells.append(f"{points:.1f} ± {half_width:.1f}" if ROWS[row] else "")
        cells.append(f"{np.mean([one['loss'] for one in results]):.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return [
        *lines,
        "",
        "Accuracy of validation / test photos in %, points lost on both with 95 % intervals over "
        f"photos and seeds, loss of the last epoch; means over {len(found['0'])} seeds.",
    ]


def _describe(row, is_live):
    mistakes = ROWS[row]
    if not mistakes:
        return "none"
    text = f"{row}: {MISTAKES[min(mistakes)]}" if len(mistakes) == 1 else row
    return text + (", all weights learn" if is_live else ", frozen") * (5 in mistakes)


def cost(without, having, branch):
    """Returns the points that are lost, and half the width of their 95 % interval.

    Photos are paired where both were asked the same ones. What varies from photo to photo, in the
    mean over seeds, and what varies from seed to seed are added up.

    Args:
        without, having: Lists of what `Trainings.train` returned, seed by seed.
        branch: "perception", "attention" or "both".
    """
    first, second = _per_photo(without, branch), _per_photo(having, branch)
    if without[0]["photos"] == having[0]["photos"]:
        variance = _variance_of_mean((first - second).mean(0))
        variance += _variance_of_mean((first - second).mean(1))
    else:
        variance = sum(
            _variance_of_mean(one.mean(axis)) for one in (first, second) for axis in (0, 1)
        )
    return 100 * float(first.mean() - second.mean()), 100 * 1.96 * float(np.sqrt(variance))


def _per_photo(results, branch):
    """Returns 0 or 1 of each photo: float `(seeds, photos)`."""
    each = [[one["correct"][branch][split] for split in SPLITS] for one in results]
    return np.array([np.concatenate(one) for one in each], float)


def _variance_of_mean(values):
    return values.var(ddof=1) / len(values) if len(values) > 1 else 0.0


def _accuracies(results, branch):
    """Returns the accuracy of validation and of test photos in %, as text."""
    each = [[np.mean(one["correct"][branch][split]) for split in SPLITS] for one in results]
    return " / ".join(f"{100 * accuracy:.1f}" for accuracy in np.mean(each, axis=0))


if __name__ == "__main__":
    run_command(main)
