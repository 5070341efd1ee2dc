"""Trains a recogniser on records, or on the built-in demo: python -m glr_keras.fit"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

from glr_keras.config import (
    DEMO,
    PRESETS,
    FitConfig,
    add_flags,
    check_same_model,
    from_flags,
    new_config,
    read_json,
)
from glr_keras.config.effects import check_effects
from glr_keras.data.manifest import fingerprint, is_demo, read_manifest
from glr_keras.runs.run_dir import RunDir
from tfrecords.common.console import UserError, command_line, run_command, start_tensorflow

DEMO_DATA = Path("data/demo")


def main() -> None:
    started = time.monotonic()
    config = parse_config()
    data_dir = Path(config.data_dir or DEMO_DATA)
    run_dir = Path(config.run_dir or Path("runs") / data_dir.resolve().name)
    config = dataclasses.replace(config, data_dir=str(data_dir), run_dir=str(run_dir))
    run = RunDir(run_dir)
    if run.is_complete:
        metrics = read_complete(run, config)
        print(f"{run_dir} is complete already; delete it to train again.")
    else:
        if names_demo(config.data_dir):
            build_demo(data_dir)
        start_tensorflow()
        from glr_keras.training.train import train

        metrics = train(config)
    print_result(run_dir, metrics, time.monotonic() - started)


def parse_config(argv=None) -> FitConfig:
    """Reads flags over `--config` over defaults (the demo's, where they name it or no data).

    Raises:
        UserError: values that do not fit together, or a flag without effect.
    """
    parser = argparse.ArgumentParser(
        prog="python -m glr_keras.fit",
        description="Trains a landmark recogniser on the features of a frozen backbone. Without "
        "--data-dir it draws and learns the built-in demo, whose defaults differ: "
        + ", ".join(f"{name} {_show(value)}" for name, value in DEMO.items()),
    )
    parser.add_argument("--config", type=Path, help="config.json of a run; flags go over it")
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="default; fast (logistic regression, in seconds); finetune (the backbone's end "
        "learns, too: most accurate, twenty minutes or more); report (the student report's "
        "settings, to the letter); flags go over it",
    )
    add_flags(parser)
    flags = vars(parser.parse_args(argv))
    path, preset = flags.pop("config"), flags.pop("preset")
    if preset and (path or "finetune_from" in flags):
        raise UserError(
            "--preset is for a new run: --config and --finetune-from bring all settings along. "
            "Leave one of them out."
        )
    if "finetune_from" in flags:
        return finetuning_config(flags, path)
    if path is not None:
        config = from_flags(flags, read_json(path))
    else:
        is_demo = names_demo(flags.get("data_dir", ""))
        config = new_config(flags, preset or "default", is_demo)
    check_effects(flags, config)
    return config


def names_demo(data_dir: str) -> bool:
    """Whether `--data-dir` names the built-in demo: by the manifest that lies there.

    Before it is drawn: by its usual place, which is meant where nothing is named.

    Raises:
        UserError: nothing is named, and other records lie in the demo's usual place.
    """
    manifest = read_manifest(Path(data_dir or DEMO_DATA))
    if manifest is None:
        return not data_dir or Path(data_dir) == DEMO_DATA
    if not data_dir and not is_demo(manifest):
        raise UserError(
            f"{DEMO_DATA} holds records that are not the built-in demo's, or those of an earlier "
            f"version. To train on them, add --data-dir {DEMO_DATA}; for the demo, move them away."
        )
    return is_demo(manifest)


def finetuning_config(flags: dict, path: Path | None) -> FitConfig:
    """Returns the base run's config, or the one in `path`, changed for the second stage.

    What is not typed is that of the base run, but for the learning rate, a tenth of its own, the
    run directory and the precision. The full learning rate would undo in a few steps what ImageNet
    taught the backbone.

    Raises:
        UserError: no such run, or flags that ask for another model than it has.
    """
    base_dir = Path(flags["finetune_from"])
    base = read_json(base_dir / "config.json")
    config = read_json(path) if path else base
    changes = {
        "run_dir": f"{base_dir}-finetuned",
        "learning_rate": config.learning_rate / 10,
        "trainable_blocks": 1,
        "precision": "auto",
    }
    if config.branch_layer:  # what is behind the blocks that learn now learns with them
        changes |= {"train_trunk": True, "trunk_learning_rate": 1.0, "frozen_epochs": 0}
    if config.finetune_after:  # by now a part of the base run's backbone like any other
        changes |= {"finetune_after": "", "frozen_epochs": 0}
    config = from_flags({**changes, **flags}, config)
    check_same_model(base, config)
    return config


def read_complete(run: RunDir, config: FitConfig) -> dict:
    """Returns the metrics of a complete run of `config`.

    Raises:
        UserError: it is a run of another config or of other records.
    """
    run.check(run.resolve(config))
    if manifest := read_manifest(Path(config.data_dir)):
        run.check_inputs({"records": fingerprint(manifest)})
    run.delete_checkpoint()  # where the process was killed between metrics.json and this
    return run.read_metrics()


def build_demo(data_dir: Path) -> None:
    """Draws the demo's photos and builds records of them, unless they are there."""
    if (data_dir / "manifest.json").exists():
        return
    from tfrecords.build import BuildOptions, build
    from tfrecords.demo.photos import write_photos

    photos = data_dir.with_name(data_dir.name + "-photos")
    if not (photos / "boxes.csv").exists():
        write_photos(photos)
    build(BuildOptions(photos=photos, out=data_dir, demo=True))


def print_result(run_dir: Path, metrics: dict, seconds: float) -> None:
    """Says what was reached, on what, and where everything is."""
    test = metrics["test"]
    correct, total = round(test["accuracy"] * test["photos"]), test["photos"]
    print(f"\nData: {metrics['data']}. Weights of {metrics['backbone']}: {metrics['weights']}.")
    if "warning" in metrics:
        print(metrics["warning"])
    print(
        f"Test accuracy {test['accuracy']:.1%} ({correct} of {total} photos, "
        f"{metrics['landmarks']} landmarks), top 5 {test['top5_accuracy']:.1%}; "
        f"validation {metrics['validation']['accuracy']:.1%}; "
        f"best epoch {metrics['best_epoch']} of {metrics['epochs']}; {seconds:.0f} s in all."
    )
    print(f"Where it looked: {run_dir}/figures/attention_grid.png")
    print(f"All of it in one page: {run_dir}/report.html")
    print(f"Everything else: {run_dir} (metrics.json, history.csv, model.keras, figures/)")


def _show(value):
    return " ".join(map(str, value)) if isinstance(value, tuple) else value


if __name__ == "__main__":
    command = command_line("glr_keras.fit", *sys.argv[1:])
    run_command(main, after_interrupt=f"It resumes where it stopped with: {command}")
