"""Features with the notebooks' mistakes 5, 6 and 8, for benchmarks/mistakes.py."""

import keras
import numpy as np
from keras import layers

from glr_keras.data.records import photo_batches, photo_index
from glr_keras.features.computing import compute_missing
from glr_keras.features.extraction import feature_views, features_key
from glr_keras.features.missing import find_missing
from glr_keras.features.reuse import StoredRows
from glr_keras.features.store import FeatureFolder, FeatureViews
from glr_keras.models.backbones import BACKBONES, build_backbone, hash_weights
from glr_keras.models.seeding import seeded_layers
from tfrecords.common.types import SPLITS

# Of ImageNet's photos in [0, 1], as PyTorch's networks expect them to be taken off and divided by.
MEAN, STANDARD_DEVIATION = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
PHOTOS_FOR_STATISTICS = 64  # of the batch norms of a network that was not trained


def mistaken_views(records, config, mistakes):
    """Opens the features of all splits; those that are missing are computed first.

    Args:
        records: From `data.open_records`.
        config: FitConfig; its precision is not "auto".
        mistakes: Set of those among 5, 6 and 8 that are made.

    Returns:
        Dict from split to its `FeatureViews`.
    """
    backbone, weights = _mistaken_backbone(records, config, mistakes)
    views = feature_views(records, backbone, weights, config)
    if 8 not in mistakes:
        return views
    return _split_in_file_order(records, backbone, weights, config, views)


def _mistaken_backbone(records, config, mistakes):
    """Returns a frozen backbone and what tells its features from those of others."""
    if 5 in mistakes:
        backbone = untrained_backbone(config, is_normalized=6 not in mistakes)
        _set_batch_norms(backbone, records, config)
        weights = f"untrained, {config.seed_of_features}"
    else:
        backbone = build_backbone(config)
        weights = hash_weights(backbone)
        if 6 in mistakes:
            backbone = _without_normalization(backbone)
    backbone.trainable = False
    return backbone, weights + ", not normalized" * (6 in mistakes)


def untrained_backbone(config, is_normalized):
    """Builds a backbone with the random weights that PyTorch's networks start from (He, fan out).

    Args:
        config: FitConfig; its backbone, image_size and seed_of_features.
        is_normalized: Bool, whether ImageNet's mean and standard deviation of photos are used.
    """
    side = config.image_size
    with seeded_layers(config.seed_of_features):
        network = BACKBONES[config.backbone].build(weights=None, input_shape=(side, side, 3))
    for number, layer in enumerate(network.layers):
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            seed = config.seed_of_features * 1000 + number
            he = keras.initializers.VarianceScaling(2, "fan_out", "untruncated_normal", seed)
            layer.kernel.assign(he(layer.kernel.shape))
    scale, offset = 1 / 255, 0.0
    if is_normalized:
        scale, offset = _as_list(1 / 255 / STANDARD_DEVIATION), _as_list(-MEAN / STANDARD_DEVIATION)
    return _behind(layers.Rescaling(scale, offset), network)


def _without_normalization(backbone):
    """Mistake 6: puts in front of `backbone` what makes it see photos that were not normalized.

    PyTorch's networks expect z = (x - mean) / standard deviation of a photo x in [0, 1], and the
    notebooks gave them x. What they took that for is a photo of mean + x * standard deviation: of a
    quarter of the contrast, and grey. So this is done to the photo, whatever `backbone` expects.
    """
    return _behind(layers.Rescaling(_as_list(STANDARD_DEVIATION), _as_list(255 * MEAN)), backbone)


def _behind(layer, network):
    photos = keras.Input(network.input_shape[1:], name="photos")
    return keras.Model(photos, network(layer(photos)), name=network.name)


def _as_list(values):
    return [float(value) for value in values]


def _set_batch_norms(backbone, records, config):
    """Gives batch norms the statistics of a batch of photos; as made, they would change nothing."""
    network = backbone.layers[-1]
    norms = [one for one in network.layers if isinstance(one, layers.BatchNormalization)]
    if not norms:
        return
    batches = photo_batches(
        records, "train", config.image_size, config.framing, PHOTOS_FOR_STATISTICS
    )
    photos = next(batches.as_numpy_iterator())["photo"]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    backbone(photos, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _split_in_file_order(records, backbone, weights, config, views):
    """Mistake 8: the first photos in the order of their files' names are for training, and so on.

    As many as there were. All photos need training views and an eval view for it.
    """
    numbers = _order_of_files([one for split in SPLITS for one in views[split].photo_ids])
    labels = np.concatenate([views[split].labels for split in SPLITS])
    ids = [photo for split in SPLITS for photo in views[split].photo_ids]
    more = _other_views(records, backbone, weights, config)
    parts = np.split(numbers, np.cumsum([len(views[split]) for split in SPLITS])[:-1])
    found = {}
    for split, part in zip(SPLITS, parts, strict=True):
        shown = range(config.num_views) if split == "train" else [None]
        files = {
            view: _join([(views[one].files | more[one].files)[view] for one in SPLITS], part)
            for view in shown
        }
        found[split] = FeatureViews(split, files, labels[part], [ids[number] for number in part])
    return found


def _join(files, numbers):
    """Returns photos of several `ViewFile`s; `numbers` are places in them, one after the other."""
    joined, first = StoredRows(len(numbers)), 0
    for file in files:
        end = first + file.shape[0]
        here = np.flatnonzero((first <= numbers) & (numbers < end))
        joined.add(file, here, numbers[here] - first)
        first = end
    return joined


def _order_of_files(photo_ids):
    """Returns the places of photos in the order of their files' names, whatever the folder."""
    return np.array(sorted(range(len(photo_ids)), key=lambda at: photo_ids[at].split("/")[::-1]))


def _other_views(records, backbone, weights, config):
    """Computes the views that a split has no use for otherwise: train photos' eval view, ..."""
    found = {}
    for split in SPLITS:
        key = features_key(records, "train", weights, config)
        folder = FeatureFolder(config.features_path, {**key, "split": split, "other": True})
        index = photo_index(records, split)
        shape = (len(index[0]), *backbone.output_shape[1:])
        shown = [None] if split == "train" else range(config.num_views)
        with folder.locked():
            folder.start()
            files = {view: folder.view(view, shape) for view in shown}
            found[split] = FeatureViews(split, files, *index)
            if missing := find_missing([found[split]]):
                compute_missing(missing, records, backbone, config)
    return found
