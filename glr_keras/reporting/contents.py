"""RunContents: what the files of a run say, read for its report. No TensorFlow here."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glr_keras.config import FitConfig, read_json
from glr_keras.data.manifest import fingerprint, read_manifest
from glr_keras.runs.predictions import FILE, PhotoResult
from glr_keras.runs.run_dir import RunDir
from glr_keras.runs.suspects import Suspect, read_suspects
from tfrecords.common.console import UserError, command_line
from tfrecords.common.flags import flag_of
from tfrecords.common.tables import LANDMARKS, read_table
from tfrecords.common.types import SPLITS

EVALUATION = Path("evaluation", "test", "evaluation.json")  # where `glr_keras.evaluate` writes it
MAX_SUSPECTS = 24  # photos that are shown


@dataclass(frozen=True)
class RunContents:
    """What the files of a run say.

    Attributes:
        name: Of its folder.
        config: FitConfig of the run.
        metrics: What `metrics.json` holds, or will hold.
        environment: What `environment.json` holds.
        landmarks: Names in label order.
        history: Measure -> values, one per epoch.
        counts: Landmark -> split -> photos; empty where the records are gone.
        results: One per test photo, in the order of the records.
        notes: What a reader must know first.
        suspects: Photos whose label may be wrong; None where nobody has asked for them.
        evaluation: What `evaluate` has measured of the test photos; empty where nobody has asked.
    """

    name: str
    config: FitConfig
    metrics: dict
    environment: dict
    landmarks: Sequence[str]
    history: dict[str, list[float]]
    counts: dict[str, dict[str, int]]
    results: Sequence[PhotoResult]
    notes: Sequence[str] = ()
    suspects: Sequence[Suspect] | None = None
    evaluation: dict = dataclasses.field(default_factory=dict)

    def measured(self, name: str) -> Any:
        """Returns what `evaluate`, or else the run itself, has measured; None if neither has."""
        return self.evaluation.get(name) or self.metrics.get(name)


def read_contents(
    run: RunDir, metrics: dict, results: Sequence[PhotoResult], data_dir: Path, notes: Sequence[str]
) -> RunContents:
    """Reads the files of a run.

    Args:
        run: The run.
        metrics: What its `metrics.json` holds, or will hold.
        results: From `glr_keras.runs.predictions`.
        data_dir: Where the records of the run are now.
        notes: What a reader must know first, beside the warning of the run.

    Raises:
        UserError: a file of the run is missing or damaged.
    """
    config = read_json(run.path / "config.json")
    try:
        environment = run.read_environment()
        labels = (run.path / "labels.txt").read_text(encoding="utf-8")
        epochs = run.read_history()
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"A file of the run {run.path} can't be read: {error}.") from error
    landmarks = labels.removesuffix("\n").split("\n")
    named = {name for one in results for name in (one.landmark, one.predicted)}
    if unknown := named - set(landmarks):
        raise UserError(
            f"{run.path / FILE} names landmarks that are not in labels.txt, such as "
            f"{min(unknown)!r}. Delete it: the photos are recognised again then."
        )
    warning = [metrics["warning"]] if "warning" in metrics else []
    return RunContents(
        name=run.path.resolve().name,
        config=config,
        metrics=metrics,
        environment=environment,
        landmarks=landmarks,
        history={name: [row[name] for row in epochs] for name in (epochs[0] if epochs else ())},
        counts=_read_counts(data_dir, environment.get("records")),
        results=results,
        notes=[*warning, *notes],
        suspects=read_suspects(run.path, MAX_SUSPECTS),
        evaluation=_read_evaluation(run.path),
    )


def command_of(config: FitConfig) -> str:
    """Returns the command that trains with `config`: its data and what differs from the default."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        flag = flag_of(field.name)
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        else:
            words += [flag, *map(str, value if isinstance(value, tuple) else [value])]
    return command_line("glr_keras.fit", *words)


def _read_evaluation(run_dir):
    """Reads what was measured of test photos; nothing of two models, or by earlier versions."""
    path = run_dir / EVALUATION
    if not path.exists():
        return {}
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return result if result.get("split") == "test" else {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} can't be read ({error}). Delete it, or evaluate again.") from error


def _read_counts(data_dir, records):
    """Reads how many photos each landmark has; nothing where these are other records."""
    manifest = read_manifest(data_dir)
    if manifest is None or (records and fingerprint(manifest) != records):
        return {}
    path = data_dir / LANDMARKS
    if not path.exists():
        return {}
    return dict(
        read_table(path, lambda row: (row["name"], {split: int(row[split]) for split in SPLITS}))
    )
