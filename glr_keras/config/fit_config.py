"""FitConfig: every choice of a run, once, with its default, its unit and its reason."""

from dataclasses import dataclass
from pathlib import Path

from glr_keras.config.backbones import BACKBONES
from glr_keras.config.rules import check
from tfrecords.common.flags import option

OBJECTIVE = "val_accuracy"  # the best epoch, and trial, is the one where this is highest


@dataclass(frozen=True)
class FitConfig:
    """All that a run depends on besides the photos. Defaults are the best that was measured
    (docs/results.md); the report's are in `presets.REPORT`.

    Raises:
        UserError: a value is out of its range.
    """

    data_dir: str = option("", "folder of records (tfrecords.build); without it, the built-in demo")
    run_dir: str = option("", "folder of this run (default: runs/ and the data folder's name)")
    features_dir: str = option("", "folder of stored features (default: features/ in --data-dir)")

    backbone: str = option(
        "vgg16", "frozen network of keras.applications", choices=tuple(BACKBONES)
    )
    weights: str = option(
        "imagenet", "of the backbone: imagenet (downloaded once), random, or FILE"
    )
    cut_layer: str = option("", "layer of the backbone that gives the features (default: its last)")
    feature_layers: str = option(
        "",
        "layers of several depths, such as block4_pool,block5_conv3,block5_pool, whose features "
        "stand side by side (default: one layer)",
    )
    branch_layer: str = option(
        "",
        "layer or block of the backbone, such as block4_pool, that gives the features instead, "
        "while all behind it becomes the trunk of the perception branch (default: none)",
    )
    train_trunk: bool = option(False, "let the trunk behind --branch-layer learn, too")
    finetune_after: str = option(
        "",
        "layer or block of the backbone, such as block4_pool: features are stored there, and all "
        "behind it is fine-tuned with the head, both branches of an ABN (default: none)",
    )
    trunk_learning_rate: float = option(
        0.1, "of what is fine-tuned of the backbone, as a factor of --learning-rate"
    )
    frozen_epochs: int = option(0, "first epochs in which the trunk does not learn yet")
    image_size: int = option(256, "side of the square the backbone sees, in pixels")
    framing: str = option(
        "whole",
        "what it sees of a photo: whole (resized to the square) or center (a square of 7/8 of the "
        "short side, as in ImageNet's evaluation)",
        choices=("whole", "center"),
    )
    precision: str = option(
        "auto",
        "of the backbone; auto is bfloat16 where that is faster here, float32 elsewhere",
        choices=("auto", "float32", "bfloat16"),
    )

    head: str = option(
        "abn",
        "what learns: abn, dropout, linear, or logistic (regression, by L-BFGS)",
        choices=("abn", "dropout", "linear", "logistic"),
    )
    answer: str = option(
        "combined",
        "what an ABN answers: combined (mean of both branches' probabilities), attention or "
        "perception",
        choices=("combined", "attention", "perception"),
    )
    pooling: str = option(
        "root",
        "before the head's first layer: flatten (the report), average (a hundredth of the size), "
        "root (square root of the averages, batch norm), attentive (averages weighted by learned "
        "queries), bilinear (averages of products of channels) or ensemble (the last three, with a "
        "classifier and a loss each)",
        choices=("flatten", "average", "root", "attentive", "bilinear", "ensemble"),
    )
    # The report had none, on features whose scale suited its learning rate. On MobileNetV2's, test
    # accuracy on 27 real landmarks rose from 78 to 83 % (dropout head), from 71 to 82 % (ABN).
    normalize: bool = option(True, "batch norm on the features, before the head")
    head_units: tuple[int, ...] = option((), "units of the head's hidden layers; no number: none")
    dropout: float = option(
        0.2, "fraction of hidden units dropped; without any, of pooled features; in [0, 1)"
    )
    attention_channels: int = option(64, "channels of the attention branch (abn only)")
    attention_kernel: int = option(
        1, "side of the kernel of the attention branch's first convolution (abn only)"
    )
    attention_map: str = option(
        "class-specific",
        "what the map is made of (abn only): class-specific (the landmarks' scores at each "
        "position, in proportion to the prediction) or class-agnostic (the paper's: a convolution)",
        choices=("class-specific", "class-agnostic"),
    )
    attention_start: str = option(
        "constant",
        "of a class-agnostic map's 1x1 convolution (abn only): constant (the map starts as the sum "
        "of the landmarks' activations) or random",
        choices=("constant", "random"),
    )
    alpha: float = option(0.25, "weight of the attention branch's loss (abn only)")
    beta: float = option(1.0, "weight of the perception branch's loss")

    optimizer: str = option(
        "adam", "sgd (with momentum), adam or adamw", choices=("sgd", "adam", "adamw")
    )
    learning_rate: float = option(1e-3, "learning rate, or the highest one of a schedule")
    schedule: str = option(
        "cosine",
        "of the learning rate: constant; cosine (down to 0 at the end); step (see --step-epochs)",
        choices=("constant", "cosine", "step"),
    )
    warmup_epochs: float = option(0.5, "epochs in which the learning rate rises from 0, e.g. 0.5")
    step_epochs: int = option(1, "epochs after which a step schedule lowers the learning rate")
    step_factor: float = option(0.1, "what a step schedule multiplies the learning rate by")
    momentum: float = option(0.9, "of sgd, in [0, 1)")
    weight_decay: float = option(
        0.0, "fraction of each kernel, times the learning rate, taken off at each step (decoupled)"
    )
    clip_norm: float = option(0.0, "largest norm of all gradients together; 0: no limit")
    ema: float = option(
        0.0, "momentum of an average of the weights that is measured and kept, e.g. 0.99; 0: none"
    )
    label_smoothing: float = option(
        0.0, "fraction of each label spread over all landmarks, in [0, 1)"
    )
    mixup: float = option(
        0.0,
        "photos of a training batch are mixed with each other (their features and labels), by a "
        "fraction from a Beta distribution with both parameters this, e.g. 0.3; 0: not",
    )
    balance: float = option(
        0.0, "0: each photo counts the same; 1: each landmark does; 0.5: between (long tails)"
    )
    patience: int = option(0, "epochs without a better one after which training stops; 0: never")
    batch_size: int = option(32, "photos per training step")
    epochs: int = option(15, "passes over the training photos")
    views: int = option(2, "training views of each photo, used in turn; 0: one per epoch")
    plain_view: bool = option(
        True, "view 0 of a training photo is what evaluation would see of it, without augmentation"
    )
    seed: int = option(0, "of weights, views, order and dropout")
    feature_seed: int = option(
        -1, "of views and random backbone weights where it differs from --seed; -1: the same"
    )
    live: bool = option(False, "run the backbone in every epoch instead of storing its features")
    finetune_from: str = option(
        "", "complete run whose backbone and head are trained on, live; without it, a new head is"
    )
    trainable_blocks: int = option(
        0, "last blocks of the backbone that learn (with --finetune-from: 1)"
    )
    distribute: str = option(
        "none",
        "mirrored: every GPU of this machine takes a part of each batch",
        choices=("none", "mirrored"),
    )

    rotation: float = option(10.0, "largest rotation of a training view, in degrees")
    min_crop_area: float = option(0.5, "smallest fraction of the photo's area in a view, in (0, 1]")
    brightness: float = option(0.25, "largest relative change of brightness, in [0, 1)")
    flip: bool = option(True, "mirror half of the views left to right")

    def __post_init__(self):
        check(self)

    @property
    def split_layer(self) -> str:
        """The layer or block whose output is stored while a trunk is behind it; "" for none."""
        return self.branch_layer or self.finetune_after

    @property
    def trunk_learns(self) -> bool:
        """Whether the part of the backbone behind `split_layer` learns with the head."""
        return self.train_trunk or bool(self.finetune_after)

    @property
    def is_live(self) -> bool:
        """Whether photos go through the backbone while the head learns."""
        return self.live or bool(self.finetune_from)

    @property
    def features_path(self) -> Path:
        """Where stored features lie."""
        return Path(self.features_dir or Path(self.data_dir) / "features")

    @property
    def seed_of_features(self) -> int:
        """The seed of all that stored features depend on."""
        return self.seed if self.feature_seed < 0 else self.feature_seed

    @property
    def num_views(self) -> int:
        """How many augmented views of each training photo are made."""
        return self.views or self.epochs
