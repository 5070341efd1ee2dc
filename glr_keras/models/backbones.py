"""Frozen networks: photos in [0, 255] -> feature maps; their weights and the checks on them."""

import hashlib
import re
import socket
import warnings
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from glr_keras.config import BACKBONES, FitConfig
from glr_keras.models.random_weights import randomize
from glr_keras.models.seeding import seeded_layers
from glr_keras.models.trunk import set_trainable, split_network
from tfrecords.common.console import UserError

TIMEOUT = 20  # seconds without a byte before a download counts as failed


class WeightsUnreachableError(UserError):
    """ImageNet weights could not be downloaded."""


def build_backbone(config: FitConfig) -> keras.Model:
    """Builds the frozen network that turns photos into feature maps, see `build_networks`."""
    return build_networks(config)[0]


def build_networks(config: FitConfig) -> tuple[keras.Model, keras.Model | None]:
    """Builds the frozen network that turns photos into features, and what of it comes behind.

    Args:
        config: FitConfig; its backbone, weights, cut_layer, feature_layers, branch_layer,
            finetune_after, train_trunk, image_size, precision (not "auto": see
            `precision.choose_precision`) and, for random weights, seed.

    Returns:
        backbone: Model from float32 RGB photos `(batch, image_size, image_size, 3)` in [0, 255] to
            float32 features `(batch, height, width, channels)`. Preprocessing is inside. Not
            trainable, so it always runs in inference mode (batch norm with its stored statistics).
        trunk: Model from these features to those of the last layer, where there is a
            `branch_layer` or `finetune_after`; else None. It learns where `train_trunk` or
            `finetune_after` says so, its batch norms never.

    Raises:
        WeightsUnreachableError: `weights` is "imagenet" and the download failed.
        UserError: no such weights file, one of another network, or no such layer.
    """
    backbone = BACKBONES[config.backbone]
    with seeded_layers(config.seed_of_features), _dtype_policy(config.precision):
        whole = _build_with_weights(backbone, config)
    network, trunk = _tap(whole, config), None
    if config.split_layer:
        network, trunk = split_network(network, config, whole)
        maps = keras.Input(trunk.input_shape[1:], name="maps")
        trunk = keras.Model(maps, _in_float32(trunk(maps)), name="trunk")
        set_trainable(trunk, config.trunk_learns)
    photos = keras.Input((config.image_size, config.image_size, 3), name="photos")
    features = _in_float32(network(backbone.preprocess(photos)))
    model = keras.Model(photos, features, name=config.backbone)
    model.trainable = False
    return model, trunk


def _in_float32(features):
    return keras.layers.Activation("linear", dtype="float32", name="features")(features)


def check_weights_file(config: FitConfig) -> None:
    """Looks whether there are the weights that a config names.

    Raises:
        UserError: they are neither "imagenet" nor "random", and no such file is there.
    """
    if config.weights not in ("imagenet", "random") and not Path(config.weights).is_file():
        raise UserError(
            f"--weights {config.weights}: expected imagenet, random or a file, and there is none."
        )


def blocks_of(network: keras.Model, pattern: str) -> dict[str, list[keras.layers.Layer]]:
    """Groups the layers that have weights by their block.

    What comes before the first block is the "stem"; what comes after the last belongs to it.

    Args:
        network: Of keras.applications.
        pattern: Its `Backbone.block`.
    """
    blocks: dict[str, list[keras.Layer]] = {}
    current = "stem"
    for layer in network.layers:
        if match := re.match(pattern, layer.name):
            current = match.group()
        if layer.weights:
            blocks.setdefault(current, []).append(layer)
    return blocks


def hash_weights(model: keras.Model) -> str:
    """Returns a hash of all the weights of `model`, whichever file or seed they came from."""
    digest = hashlib.sha256()
    for variable in model.weights:
        values = np.ascontiguousarray(keras.ops.convert_to_numpy(variable))
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _build_with_weights(backbone, config):
    settings = {"input_shape": (config.image_size, config.image_size, 3)}
    if config.weights == "imagenet":
        return _download_weights(backbone, config, settings)
    if config.weights == "random":
        network = backbone.build(weights=None, **settings)
        randomize(network, config.seed_of_features)
        return network
    check_weights_file(config)
    network = backbone.build(weights=None, **settings)
    _load_weights(network, config)
    return network


def _download_weights(backbone, config, settings):
    """Builds the network with ImageNet's weights, which Keras fetches once and then keeps.

    Raises:
        WeightsUnreachableError: no network, or the file that came is another.
    """
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # Keras waits for ever on a network that swallows packets
    try:
        with warnings.catch_warnings():
            # MobileNet has weights of its own for some sizes, and says so where it has none.
            warnings.filterwarnings("ignore", message=".*input_shape.*", category=UserWarning)
            return backbone.build(weights="imagenet", **settings)
    except Exception as error:  # Keras raises bare Exception for every failed download
        raise WeightsUnreachableError(
            f"The ImageNet weights of {config.backbone} could not be downloaded: {error}\n"
            "Fetch that file on another machine and name it with: --weights FILE"
        ) from error
    finally:
        socket.setdefaulttimeout(patience)


def _load_weights(network, config):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # Keras only warns of parts it skips
            network.load_weights(config.weights)
    except (ValueError, OSError, KeyError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"--weights {config.weights} does not fit {config.backbone} without its top: {reason}\n"
            "Expected a file that Keras itself downloads for it (..._notop.h5), or one that "
            "save_weights wrote of that network."
        ) from error


def _tap(network, config):
    """Ends `network` at the layers that give the features."""
    names = [name for name in config.feature_layers.split(",") if name]
    names = names or ([config.cut_layer] if config.cut_layer else [])
    if not names:
        return network
    known = [layer.name for layer in network.layers[1:]]
    flag = "--feature-layers" if config.feature_layers else "--cut-layer"
    for name in names:
        if name not in known:
            raise UserError(
                f"{flag} {name}: {network.name} has no such layer. It has: {', '.join(known)}"
            )
    outputs = [network.get_layer(name).output for name in names]
    return keras.Model(network.inputs, _side_by_side(outputs, names), name=network.name)


def _side_by_side(maps, names):
    """Averages feature maps down to the grid of the smallest and joins their channels.

    So the average over space of what comes out is that of each map.
    """
    rows, columns = min(one.shape[1:3] for one in maps)
    pooled = []
    for one, name in zip(maps, names, strict=True):
        size = (one.shape[1] // rows, one.shape[2] // columns)
        if (one.shape[1], one.shape[2]) != (rows * size[0], columns * size[1]):
            raise UserError(
                f"--feature-layers {','.join(names)}: the {one.shape[1]} x {one.shape[2]} cells of "
                f"{name} are no multiple of {rows} x {columns}. Choose another --image-size or "
                "layers whose grids fit."
            )
        if size != (1, 1):
            one = keras.layers.AveragePooling2D(size, name=f"{name}_on_the_grid")(one)
        pooled.append(one)
    return pooled[0] if len(pooled) == 1 else keras.layers.Concatenate(name="depths")(pooled)


@contextmanager
def _dtype_policy(precision):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
