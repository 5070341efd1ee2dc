"""Splits a backbone at a layer: features are stored in front, and behind it is the trunk.

An attention branch can stand at any depth of a network (Fukui et al., 2019, figure 3). All that
comes behind is then a part of the perception branch, which sees the features times (1 + M). Or the
trunk is fine-tuned in front of the whole head (see `finetuned`).
"""

import re

import keras
from keras import layers

from glr_keras.config import BACKBONES, FitConfig
from tfrecords.common.console import UserError


def split_network(
    network: keras.Model, config: FitConfig, whole: keras.Model
) -> tuple[keras.Model, keras.Model]:
    """Splits a network in two where it is a single tensor.

    Args:
        network: Functional model.
        config: FitConfig, whose `split_layer` names a block, for its end, or a layer.
        whole: The network before its last layers were cut off, for the message.

    Returns:
        Two models that share their layers with `network`: up to that layer, and behind it.

    Raises:
        UserError: no such block or layer, one that other paths go around, or nothing is behind it.
    """
    layer, pattern = config.split_layer, BACKBONES[config.backbone].block
    points, ends = branch_points(network), block_ends(network, pattern)
    place = points.get(layer) or ends.get(layer)
    if place is None:
        flag = "--branch-layer" if config.branch_layer else "--finetune-after"
        message = (
            f"{flag} {layer}: {_reason(network, layer, pattern, whole)}. "
            f"Expected the end of {', '.join(ends)}, or a layer between these that no shortcut "
            "goes around."
        )
        if config.feature_layers:
            message += f" --feature-layers {config.feature_layers} limits this; "
            message += "--feature-layers '' takes the last layer alone."
        raise UserError(message)
    front = keras.Model(network.inputs, place.output, name=network.name)
    return front, keras.Model(place.output, network.outputs[0], name=f"{network.name}_trunk")


def branch_points(network: keras.Model) -> dict:
    """Returns the operations whose output all later ones depend on, and on nothing else before.

    The end of a residual block is one; a layer inside is none, since the shortcut goes around it.

    Returns:
        Dict from name to operation, in order, without input and last; all give feature maps.
    """
    operations = network.operations  # in topological order
    places = {id(operation): place for place, operation in enumerate(operations)}
    last_reader = [0] * len(operations)
    for place, operation in enumerate(operations):
        for parent in _parents(operation):
            if id(parent) in places:
                last_reader[places[id(parent)]] = place
    points, furthest = {}, 0  # the last operation that reads anything before
    for place, operation in enumerate(operations[:-1]):
        if place and furthest <= place and len(operation.output.shape) == 4:
            points[operation.name] = operation
        furthest = max(furthest, last_reader[place])
    return points


def block_ends(network: keras.Model, pattern: str) -> dict:
    """Returns the last branch point of each block but the last, by the block's name, in order.

    Layers of no block may follow a block (a transition): its end is the last point that bears its
    name, where one does.
    """
    points, last = branch_points(network), network.operations[-1]
    ends, named, block = {}, {}, ""
    for operation in network.operations:
        if match := re.match(pattern, operation.name):
            block = match.group()
        if block and (operation.name in points or operation is last):
            ends[block] = operation
            if match:
                named[block] = operation
    return {name: end for name, end in (ends | named).items() if end is not last}


def set_trainable(network: keras.Model, trainable: bool) -> None:
    """Freezes a part of a backbone, or lets it learn, except for its batch norms.

    Those stay as they are: the statistics of a small batch would disturb what ImageNet taught the
    layers behind them.
    """
    network.trainable = trainable
    for layer in network._flatten_layers(include_self=False):
        if isinstance(layer, layers.BatchNormalization):
            layer.trainable = False


def as_trunk(trunk: keras.Model | dict | None) -> keras.Model | None:
    """Returns a head's trunk from what its constructor was given, or from its config."""
    return keras.saving.deserialize_keras_object(trunk) if isinstance(trunk, dict) else trunk


def trunk_config(trunk: keras.Model | None) -> dict:
    """Returns what the config of a head with this trunk holds of it: of none, nothing."""
    return {} if trunk is None else {"trunk": keras.saving.serialize_keras_object(trunk)}


def copy_trunk(trunk: keras.Model | None) -> keras.Model | None:
    """Returns a trunk with the same weights that shares none of them."""
    if trunk is None:
        return None
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(trunk))
    copy.set_weights(trunk.get_weights())
    return copy


def _parents(operation):
    for node in operation._inbound_nodes:
        for parent in node.parent_nodes:
            yield parent.operation


def _reason(network, name, pattern, whole):
    known, left = ({operation.name for operation in model.operations} for model in (whole, network))
    blocks = {match.group() for one in known if (match := re.match(pattern, one))}
    if name not in known | blocks:
        return f"{network.name} has no such block or layer"
    if name not in left - {network.operations[-1].name}:
        return f"nothing of {network.name} is behind it"
    return f"{network.name} is not a single tensor there"
