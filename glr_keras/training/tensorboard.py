"""What TensorBoard shows of a run: curves, where it looks epoch by epoch, and how it ended."""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api
from tensorboard.plugins.pr_curve import summary as pr_curve

from glr_keras.config import FitConfig
from glr_keras.data.records import photo_batches
from glr_keras.models.attention import answer_with_map
from glr_keras.reporting.figures import overlay_heatmap
from glr_keras.runs.context import RunContext
from glr_keras.runs.metrics import SplitMetrics
from glr_keras.runs.run_dir import TrainingState
from glr_keras.training.batches import Source, StoredFeatures

GRID_PHOTOS = 8  # of validation, in the grid of each epoch
SIDE = 160  # pixels of a photo in it
THRESHOLDS = 101  # of a precision-recall curve
MAX_CURVES = 50  # landmarks with a precision-recall curve of their own
OUTPUTS = {"": "answer", "attention_": "attention branch", "perception_": "perception branch"}
ACCURACIES = {"accuracy": "accuracy", "top5": "top 5 accuracy"}
MEASURES = (  # of the answer, and of a branch
    ACCURACIES | {"cross_entropy": "cross-entropy", "loss": "minimised loss"},
    ACCURACIES | {"loss": "cross-entropy"},
)


class RunLog:
    """The event files of a run: one per split and start of the command.

    Args:
        folder: `logs` of the run.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    @contextmanager
    def writing(self, split: str, step: int) -> Iterator[None]:
        """What `tf.summary` is given inside goes to this split; afterwards it is on the disk."""
        if split not in self._writers:
            self._writers[split] = tf.summary.create_file_writer(str(self._folder / split))
        with self._writers[split].as_default(step=step):
            yield
        self._writers[split].flush()

    def write_epoch(self, row: Mapping[str, float], epoch: int) -> None:
        """Writes the measures of an epoch, counted from 1: "accuracy/answer" and so on."""
        has_branches = "attention_accuracy" in row
        outputs = OUTPUTS if has_branches else {"": OUTPUTS[""]}
        for split, start in (("train", ""), ("validation", "val_")):
            with self.writing(split, epoch):
                for prefix, output in outputs.items():
                    for name, measure in MEASURES[bool(prefix)].items():
                        if (value := row.get(f"{start}{prefix}{name}")) is not None:
                            tf.summary.scalar(f"{measure}/{output}", value)


class EpochSummaries(keras.callbacks.Callback):
    """Writes the measures of each epoch, and a grid of validation photos under their maps.

    Goes before the checkpoint: the weights are then those that were measured.

    Args:
        context: RunContext; its recognizer looks at the photos.
        source: What it learns from; features of the photos come from there, if there are any.
        log: RunLog.
    """

    def __init__(self, context: RunContext, source: Source, log: RunLog):
        super().__init__()
        self._recognizer, self._log = context.recognizer, log
        self._features = None
        if isinstance(source, StoredFeatures):
            features, _ = next(source.in_order("validation"), (None, None))
            self._features = None if features is None else features[:GRID_PHOTOS]
        size, framing = context.recognizer.image_size, context.recognizer.framing
        batches = photo_batches(context.records, "validation", size, framing, GRID_PHOTOS)
        self._photos = next((one["photo"] for one in batches.as_numpy_iterator()), None)

    def on_epoch_end(self, epoch, logs=None):
        self._log.write_epoch(logs or {}, epoch + 1)
        if self._photos is None:
            return
        with self._log.writing("validation", epoch + 1):
            grid = draw_grid(self._photos, self._maps())
            tf.summary.image("photos, and where it looks", grid[None])

    def _maps(self):
        features = self._features
        if features is None:
            features = self._recognizer.backbone(self._photos, training=False)
        features = keras.ops.cast(features, "float32")
        return answer_with_map(self._recognizer.head, features)[1].numpy()


def draw_grid(photos: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Returns photos in a row and, below each, the same under its map.

    Args:
        photos: float32 `(photos, image_size, image_size, 3)` in [0, 255].
        maps: float32 `(photos, rows, columns)`.

    Returns:
        uint8 `(2 * SIDE, photos * SIDE, 3)`.
    """
    overlaid = np.stack([overlay_heatmap(*pair) for pair in zip(photos, maps, strict=True)])
    rows = [np.concatenate(list(_resize(one)), 1) for one in (photos, overlaid)]
    return np.concatenate(rows).clip(0, 255).round().astype(np.uint8)


def _resize(photos):
    return tf.image.resize(photos, (SIDE, SIDE), antialias=True).numpy()


def write_end(
    log: RunLog, context: RunContext, state: TrainingState, test: SplitMetrics, metrics: dict
) -> None:
    """Writes hyperparameters, confusion matrix and precision-recall curves of test photos.

    Args:
        log: RunLog.
        context: RunContext of a trained model.
        state: Its history.
        test: Predictions on the test split.
        metrics: What `metrics.json` will hold.
    """
    if context.recognizer.head.solver == "l-bfgs":  # its fits are no epochs that Keras reports
        for row in state.history:
            log.write_epoch(row, row["epoch"])
    step = metrics["best_epoch"]
    with log.writing("test", step):
        api.hparams(_hyperparameters(context.config), trial_id=context.run.path.name)
        for measure in ("accuracy", "top5_accuracy", "loss", "global_average_precision"):
            tf.summary.scalar(f"test/{measure.replace('_', ' ')}", metrics["test"][measure])
        figure = context.run.figure("confusion_matrix")
        if figure.exists():
            tf.summary.image("confusion matrix", tf.io.decode_png(figure.read_bytes())[None])
        for name, correct, scores in _ranked(context, test):
            summary = pr_curve.pb(name, correct, scores, THRESHOLDS)
            tf.summary.experimental.write_raw_pb(summary.SerializeToString())


def _ranked(context, test):
    """Yields what is to be ranked: correct answers, then the photos of each landmark.

    A photo has the score of its answer, and for all other landmarks the score 0.
    """
    labels, predicted = test.labels, test.predicted()
    scores = np.exp(test.of_photos("score"))
    yield "all answers", labels == predicted, scores
    for label, name in enumerate(context.records.landmarks[:MAX_CURVES]):
        yield f"landmarks/{name}", labels == label, np.where(predicted == label, scores, 0.0)


def _hyperparameters(config: FitConfig) -> dict:
    """Returns what decides the result, as HParams takes it: no paths, no lists."""
    left_out = ("data_dir", "run_dir", "features_dir", "finetune_from")
    return {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in dataclasses.asdict(config).items()
        if name not in left_out and value is not None
    }
