"""Mixup: photos of a batch are mixed with each other, and so are their labels."""

import numpy as np
import tensorflow as tf

from glr_keras.config import FitConfig
from glr_keras.data.records import without_autotune
from glr_keras.data.tracing import as_written

STREAM = 1  # keeps these random numbers apart from those of the shuffled order


def mix_batches(
    batches: tf.data.Dataset, first_step: int, config: FitConfig, num_landmarks: int
) -> tf.data.Dataset:
    """Mixes each photo of a training batch with another one of it, unless `config.mixup` is 0.

    A photo x with label y becomes w x + (1 - w) x' and w y + (1 - w) y', where x' is a photo of the
    batch and w is drawn from Beta(mixup, mixup), or 1 minus that where it is below 1/2: so most of
    a photo stays what it was. What is drawn depends on seed and step only.

    Args:
        batches: Dataset of (inputs `(batch, ...)`, dict of labels `(batch,)`[, dict of the photos'
            weights `(batch,)`]).
        first_step: Int, of its first batch.
        config: FitConfig; its seed and mixup. Below 1, most photos stay nearly unmixed; with 1, w
            is uniform.
        num_landmarks: Int.

    Returns:
        Dataset of (float32 inputs, dict of distributions `(batch, num_landmarks)`[, dict of
        weights]). Where photos have weights, those of both parts count.

    Reference:
    - [Zhang et al., 2018](https://arxiv.org/abs/1710.09412); on features rather than photos,
      [Verma et al., 2019](https://arxiv.org/abs/1806.05236)
    """
    if not config.mixup:
        return batches

    def draw(step, photos):
        rng = np.random.default_rng([config.seed, STREAM, int(step)])
        weights = rng.beta(config.mixup, config.mixup, int(photos))
        return np.maximum(weights, 1 - weights).astype(np.float32), rng.permutation(int(photos))

    @as_written
    def mix(step, batch):
        inputs, labels, *weights = batch
        photos = tf.shape(inputs)[0]
        part, others = tf.numpy_function(draw, [step, photos], [tf.float32, tf.int64])
        part.set_shape([None])
        others.set_shape([None])

        def blend(values):
            own = tf.reshape(part, [-1] + [1] * (len(values.shape) - 1))
            return own * values + (1 - own) * tf.gather(values, others)

        names = list(labels)
        targets = tf.one_hot(labels[names[0]], num_landmarks)
        if weights:
            photo_weights = weights[0][names[0]]
            mixed_weights = blend(photo_weights)
            targets = blend(photo_weights[:, None] * targets) / mixed_weights[:, None]
            weights = [dict.fromkeys(names, mixed_weights)]
        else:
            targets = blend(targets)
        return blend(tf.cast(inputs, tf.float32)), dict.fromkeys(names, targets), *weights

    numbered = batches.enumerate(first_step)
    mixed = numbered.map(mix, num_parallel_calls=2, deterministic=True)
    return without_autotune(mixed.prefetch(2))
