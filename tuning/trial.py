"""What a trial does: builds a head, trains it on stored features, says how good it became."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass

import keras
import keras_tuner

from glr_keras.config import FitConfig
from glr_keras.features.store import FeatureViews
from glr_keras.models.heads import build_head
from glr_keras.models.objective import compile_model, make_schedule
from glr_keras.models.trunk import copy_trunk, set_trainable
from glr_keras.runs.run_dir import TrainingState
from glr_keras.training.batches import StoredFeatures, steps_per_epoch
from glr_keras.training.checkpoint import Checkpoint
from glr_keras.training.variables import values
from tuning.space import RUNG, config_of
from tuning.store import TrialDir


@dataclass(frozen=True)
class StoredPhotos:
    """What every trial learns from.

    Attributes:
        views: Split -> its features; "train" and "validation" only, the test is for the winner.
        num_landmarks: Int.
        trunk: What of the backbone is behind the stored layer; each trial has a copy.
    """

    views: dict[str, FeatureViews]
    num_landmarks: int
    trunk: keras.Model | None = None

    def steps(self, config: FitConfig) -> int:
        return steps_per_epoch(len(self.views["train"]), config.batch_size)


@dataclass
class Training:
    """A head after its training.

    Attributes:
        state: History and best epoch; the best weights lie in the directory of the trial.
        variables: Values of weights and optimizer after the last epoch, if it is resumable.
        seconds: Part -> seconds, of "building", "tracing" (up to the end of the first step) and
            "training" (the rest, with validation).
    """

    state: TrainingState
    variables: list
    seconds: dict[str, float]


class HeadHyperModel(keras_tuner.HyperModel):
    """Builds and trains the head that a tuner asks for; the backbone has done its part before.

    Args:
        base: FitConfig of what is not searched.
        photos: StoredPhotos.
    """

    def __init__(self, base: FitConfig, photos: StoredPhotos):
        super().__init__()
        self.base, self.photos = base, photos

    def build(self, hp):
        """Returns the head of a trial, compiled with its own loss weights.

        They are set here and nowhere else: what KerasTuner compiles itself has none.
        """
        return build_trial_model(config_of(hp.values, self.base), self.photos)

    def fit(self, hp, model, run, on_epoch=None):
        """Trains `model` as `train_head` does."""
        config = config_of(hp.values, self.base)
        # Hyperband may resume it, unless it has had as many epochs as any trial.
        resumable = RUNG in hp.values and config.epochs < self.base.epochs
        return train_head(model, config, self.photos, run, on_epoch, resumable)


def build_trial_model(config: FitConfig, photos: StoredPhotos) -> keras.Model:
    """Builds and compiles a head as `glr_keras.training` does; frees what the last one held."""
    _forget_gradients()
    keras.backend.clear_session()  # collects garbage, too
    trunk = copy_trunk(photos.trunk)
    if trunk is not None:
        set_trainable(trunk, config.trunk_learns)
    model = build_head(config, photos.num_landmarks, photos.views["train"].shape, trunk)
    compile_model(model, config, photos.steps(config))
    model.optimizer.build(model.trainable_variables)
    _build_metrics(model)
    return model


def reported_metrics(config: FitConfig) -> set[str]:
    """Returns names of what a head reports of the validation photos, as Keras spells them.

    They are those of the smallest head of its kind.
    """
    tiny = dataclasses.replace(config, head_units=(), attention_channels=1)
    model = build_head(tiny, 2, (1, 1, 1))
    compile_model(model, tiny, 1)
    _build_metrics(model)
    return {f"val_{name}" for name in model.get_metrics_result()}


def share_schedule(config: FitConfig, longer: FitConfig, steps_per_epoch: int) -> bool:
    """Returns whether both have the same learning rate at each step that both make.

    A cosine depends on the last epoch, so that a longer trial is another one from the start.
    """
    one, other = (make_schedule(c, steps_per_epoch) for c in (config, longer))
    serialize = keras.saving.serialize_keras_object
    return serialize(one) == serialize(other)


def _forget_gradients():
    """Releases the graphs of earlier trials.

    TensorFlow keeps, for ever, an entry for each use of a custom gradient, and the entry holds the
    graph (github.com/tensorflow/tensorflow/issues/97697); the step of every Keras optimizer has
    one. The gradients of those graphs were taken when they were traced: nobody asks again. There
    is no public way.
    """
    from tensorflow.python.framework import ops

    entries = ops.gradient_registry._registry
    for name in [name for name in entries if name.startswith("CustomGradient-")]:
        del entries[name]


def _build_metrics(model):
    """Makes the variables of loss and metrics, for whose sake Keras would trace a step twice."""
    labels = {name: keras.ops.zeros(1, "int64") for name in model.branches}
    logits = {name: keras.ops.zeros((1, model.num_landmarks)) for name in labels}
    model.compute_loss(y=labels, y_pred=logits)
    model.compute_metrics(None, labels, logits)
    model.reset_metrics()


def train_head(
    model: keras.Model,
    config: FitConfig,
    photos: StoredPhotos,
    run: TrialDir,
    on_epoch: Callable[[list[dict]], None] | None = None,
    resumable: bool = False,
) -> Training:
    """Trains a head on the batches that `glr_keras.fit` would show it with the same config.

    Args:
        model: From `build_trial_model` with the same config.
        config: FitConfig.
        photos: StoredPhotos.
        run: TrialDir, for `history.csv`, and for the state to resume from.
        on_epoch: Called with the history after each epoch.
        resumable: Whether more epochs may follow, so that the state after the last one counts.

    Returns:
        Training; the model has its best weights.

    Raises:
        DivergedError: the loss is not a finite number.
    """
    source = StoredFeatures(photos.views, model.branches, photos.num_landmarks, config)
    steps = photos.steps(config)
    checkpoint = Checkpoint(model, run, config, steps)
    lasting = [*checkpoint.weights, *model.optimizer.variables] if resumable else []
    observer = _Observer(checkpoint, on_epoch, lasting)
    if not checkpoint.is_over:
        with source.reraise_user_errors():
            model.fit(
                source.train_batches(checkpoint.state.step),
                shuffle=False,  # the batches come shuffled
                steps_per_epoch=steps,
                initial_epoch=len(checkpoint.state.history),
                epochs=config.epochs,
                validation_data=source.eval_batches("validation"),
                callbacks=[checkpoint, observer],
                verbose=0,
            )
    else:
        observer.store_values()
    run.write_history(checkpoint.state.history)
    checkpoint.finish()
    checkpoint.state.finished = not resumable
    return Training(checkpoint.state, observer.values, observer.seconds())


class _Observer(keras.callbacks.Callback):
    """Measures how long tracing took; reports each epoch's end, and stores what it left.

    It comes after the checkpoint, which has put the weights back in the place of their average. At
    the end of `fit` Keras puts the average there for good: training can't be resumed from that.
    """

    def __init__(self, checkpoint, on_epoch, variables):
        super().__init__()
        self.values = []
        self._checkpoint, self._on_epoch, self._variables = checkpoint, on_epoch, variables
        self._started, self._traced = time.perf_counter(), None

    def store_values(self):
        self.values = values(self._variables)

    def on_train_batch_end(self, batch, logs=None):
        if self._traced is None:
            self._traced = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if self._on_epoch:
            self._on_epoch(self._checkpoint.state.history)
        if self._checkpoint.is_over:
            self.store_values()

    def seconds(self):
        now = time.perf_counter()
        traced = self._traced or now
        return {"tracing": traced - self._started, "training": now - traced}
