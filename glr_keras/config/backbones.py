"""The table of backbones: the frozen networks there are. Keras is imported when one is built."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Backbone:
    """A network of keras.applications.

    Attributes:
        builder: Its name there.
        module: Name of the module there that has its `preprocess_input`.
        block: Regular expression that the names of a block's first layers match; its match is the
            block's name.
    """

    builder: str
    module: str
    block: str

    def build(self, **settings):
        """Builds the network without its top, a Keras model."""
        import keras

        return getattr(keras.applications, self.builder)(include_top=False, **settings)

    def preprocess(self, photos):
        """Turns RGB photos in [0, 255] into what its ImageNet weights expect."""
        import keras

        return getattr(keras.applications, self.module).preprocess_input(photos)


CONVNEXT_BLOCK = r"convnext_(tiny|small)_(stage_\d+_block_\d+|downsampling_block_\d+)"
BACKBONES = MappingProxyType(
    {
        "vgg16": Backbone("VGG16", "vgg16", r"block\d+"),
        "vgg19": Backbone("VGG19", "vgg19", r"block\d+"),
        "mobilenet_v2": Backbone("MobileNetV2", "mobilenet_v2", r"block_\d+"),
        "mobilenet_v3_large": Backbone("MobileNetV3Large", "mobilenet_v3", r"expanded_conv(_\d+)?"),
        "resnet50_v2": Backbone("ResNet50V2", "resnet_v2", r"conv\d+_block\d+"),
        "resnet101_v2": Backbone("ResNet101V2", "resnet_v2", r"conv\d+_block\d+"),
        "densenet121": Backbone("DenseNet121", "densenet", r"conv\d+_block\d+"),
        "xception": Backbone("Xception", "xception", r"block\d+"),
        "inception_v3": Backbone("InceptionV3", "inception_v3", r"mixed\d+(_\d+)?"),
        "efficientnet_b0": Backbone("EfficientNetB0", "efficientnet", r"block\d+[a-z]"),
        "efficientnet_v2_b0": Backbone("EfficientNetV2B0", "efficientnet_v2", r"block\d+[a-z]"),
        "efficientnet_v2_b1": Backbone("EfficientNetV2B1", "efficientnet_v2", r"block\d+[a-z]"),
        "efficientnet_v2_b2": Backbone("EfficientNetV2B2", "efficientnet_v2", r"block\d+[a-z]"),
        "efficientnet_v2_b3": Backbone("EfficientNetV2B3", "efficientnet_v2", r"block\d+[a-z]"),
        "efficientnet_v2_s": Backbone("EfficientNetV2S", "efficientnet_v2", r"block\d+[a-z]"),
        "convnext_tiny": Backbone("ConvNeXtTiny", "convnext", CONVNEXT_BLOCK),
        "convnext_small": Backbone("ConvNeXtSmall", "convnext", CONVNEXT_BLOCK),
    }
)
