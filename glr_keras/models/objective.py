"""What moves the weights: optimizer, schedule of the learning rate, losses."""

from collections.abc import Callable, Sequence

import keras
from keras import ops

from glr_keras.config import FitConfig
from glr_keras.models.layers import PACKAGE

NOT_DECAYED = ("bias", "gamma", "beta")  # shifts and scales: decay is for kernels


@keras.saving.register_keras_serializable(PACKAGE)
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Raises the rate linearly from 0 over the first steps, then follows another schedule.

    Args:
        schedule: Schedule that counts its steps from the end of the warm-up.
        warmup_steps: Int, above 0.
    """

    def __init__(self, schedule, warmup_steps):
        self.schedule = schedule
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rising = self.schedule(0) * (step + 1) / self.warmup_steps
        after = self.schedule(ops.maximum(step - self.warmup_steps, 0))
        return ops.where(step < self.warmup_steps, rising, after)

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "warmup_steps": self.warmup_steps,
        }

    @classmethod
    def from_config(cls, config):
        schedule = keras.saving.deserialize_keras_object(config.pop("schedule"))
        return cls(schedule, **config)


@keras.saving.register_keras_serializable(PACKAGE)
class ConstantRate(keras.optimizers.schedules.LearningRateSchedule):
    """The same rate at every step; what a warm-up goes over to.

    Args:
        learning_rate: Float.
    """

    def __init__(self, learning_rate):
        self.learning_rate = learning_rate

    def __call__(self, step):
        return ops.convert_to_tensor(self.learning_rate, "float32")

    def get_config(self):
        return {"learning_rate": self.learning_rate}


@keras.saving.register_keras_serializable(PACKAGE)
class InPlaceSGD(keras.optimizers.SGD):
    """SGD with momentum that updates each weight in one pass where the backend is TensorFlow.

    The same formula as Keras' own, which makes three arrays the size of the weight on the way: of a
    layer of 100 million weights that is a tenth of the step's time, and 0.7 GB.
    """

    def update_step(self, gradient, variable, learning_rate):
        if keras.config.backend() != "tensorflow" or not self.momentum or self.nesterov:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        velocity = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=tf.cast(learning_rate, variable.dtype),
            grad=tf.cast(gradient, variable.dtype),
            momentum=tf.cast(self.momentum, variable.dtype),
        )


class TrunkRate:
    """Gives the trunk's variables a learning rate of their own. Goes before a Keras optimizer.

    Its moments count from the first step, so they have warmed up when the trunk begins to move.
    """

    _var_key: Callable  # of a Keras optimizer: names a variable, on any device

    def slow_down(self, variables, factor: float, frozen_steps: int) -> None:
        """Sets the rate of `variables`: 0 for `frozen_steps`, then `factor` times the others'."""
        self._slow = {self._var_key(variable) for variable in variables}
        self._factor, self._frozen_steps = factor, frozen_steps

    def update_step(self, gradient, variable, learning_rate):
        if self._var_key(variable) in self._slow:
            learns = ops.cast(self.iterations >= self._frozen_steps, "float32")
            learning_rate = ops.cast(learning_rate, "float32") * learns * self._factor
        super().update_step(gradient, variable, learning_rate)


@keras.saving.register_keras_serializable(PACKAGE)
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy from logits, of labels or of distributions over the landmarks, smoothed.

    Of several classifiers, logits `(batch, classifiers, landmarks)`, it is the mean. The target is
    (1 - smoothing) on the label plus smoothing / landmarks on each. Keras' own smoothing takes
    one-hot labels, which a hundred thousand landmarks have no room for; and its losses take either
    labels or distributions, while mixed photos are measured on plain ones.

    Args:
        smoothing: Float in [0, 1).

    Reference:
    - [Szegedy et al., 2016](https://arxiv.org/abs/1512.00567), section 7
    """

    def __init__(self, smoothing, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        losses = keras.losses
        if len(y_pred.shape) == 3:
            each = [self.call(y_true, y_pred[:, number]) for number in range(y_pred.shape[1])]
            return ops.mean(ops.stack(each), axis=0)
        is_mixed = len(y_true.shape) == len(y_pred.shape)
        of = losses.categorical_crossentropy if is_mixed else losses.sparse_categorical_crossentropy
        own = of(y_true, y_pred, from_logits=True)
        spread = -ops.mean(ops.log_softmax(y_pred, axis=-1), axis=-1)
        return (1 - self.smoothing) * own + self.smoothing * spread

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


OPTIMIZERS = {"sgd": InPlaceSGD, "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}


def make_loss(config: FitConfig) -> keras.losses.Loss:
    """Makes the loss of one output: cross-entropy from logits, smoothed as `config` says."""
    if config.label_smoothing or config.mixup or config.pooling == "ensemble":
        return SmoothedCrossentropy(config.label_smoothing)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def make_optimizer(
    config: FitConfig, steps_per_epoch: int, trunk: Sequence[keras.Variable] = ()
) -> keras.optimizers.Optimizer:
    """Makes the optimizer that `config` names; biases, batch norm and the trunk are not decayed.

    Args:
        config: FitConfig.
        steps_per_epoch: Int, of training; schedules are given in epochs.
        trunk: Variables of the trunk that learn.
    """
    settings = {
        "learning_rate": make_schedule(config, steps_per_epoch),
        "weight_decay": config.weight_decay or None,
        "global_clipnorm": config.clip_norm or None,
        "use_ema": config.ema > 0,
    }
    if config.ema:
        settings["ema_momentum"] = config.ema
    optimizer_class = OPTIMIZERS[config.optimizer]
    if config.optimizer == "sgd":
        settings["momentum"] = config.momentum
    if trunk:
        optimizer_class = type(f"Trunk{optimizer_class.__name__}", (TrunkRate, optimizer_class), {})
    optimizer = optimizer_class(**settings)
    if trunk:
        frozen_steps = config.frozen_epochs * steps_per_epoch
        optimizer.slow_down(trunk, config.trunk_learning_rate, frozen_steps)
    if config.weight_decay:
        optimizer.exclude_from_weight_decay(list(trunk), list(NOT_DECAYED))
    return optimizer


def make_schedule(config: FitConfig, steps_per_epoch: int):
    """Makes the learning rate: a float, or a schedule over training steps.

    Cosine falls from the full rate after the warm-up to 0 at the last step
    ([Loshchilov and Hutter, 2017](https://arxiv.org/abs/1608.03983), without restarts).
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    schedules = keras.optimizers.schedules
    if config.schedule == "cosine":
        steps = max(config.epochs * steps_per_epoch - warmup_steps, 1)
        schedule = schedules.CosineDecay(config.learning_rate, steps)
    elif config.schedule == "step":
        steps = config.step_epochs * steps_per_epoch
        schedule = schedules.ExponentialDecay(
            config.learning_rate, steps, config.step_factor, staircase=True
        )
    elif warmup_steps:
        schedule = ConstantRate(config.learning_rate)
    else:
        return config.learning_rate
    return WarmUp(schedule, warmup_steps) if warmup_steps else schedule


def compile_model(
    model: keras.Model, config: FitConfig, steps_per_epoch: int, jit_compile: bool | str = "auto"
) -> None:
    """Compiles a head, or a `Recognizer`: cross-entropy per output, weighted alpha and beta.

    The optimised loss is `alpha * loss(attention) + beta * loss(perception)` (Fukui et al., eq. 1,
    with weights). What is reported of each branch and of the answer: see `answer.AnswerMetrics`.

    Args:
        model: One of `heads.HEADS`, or `Recognizer`.
        config: FitConfig.
        steps_per_epoch: Int, for the schedule of the learning rate.
        jit_compile: As Keras takes it.
    """
    weights = {"attention": config.alpha, "perception": config.beta}
    trunk = getattr(getattr(model, "head", model), "trunk", None)
    learning = () if trunk is None else trunk.trainable_variables
    model.compile(
        optimizer=make_optimizer(config, steps_per_epoch, learning),
        loss={branch: make_loss(config) for branch in model.branches},
        loss_weights={branch: weights[branch] for branch in model.branches},
        jit_compile=jit_compile,
    )
