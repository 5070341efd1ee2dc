"""Every picture of a run, as PNG files. Colours can be told apart by colour-blind eyes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from tfrecords.common.fonts import find_fonts, lacking_scripts_as_boxes

ATTENTION, PERCEPTION = "#d55e00", "#0072b2"  # vermilion and blue of Okabe and Ito
DPI = 120
MOST_NAMES = 60  # landmarks; more have no room for their names along an axis


@dataclass(frozen=True)
class Look:
    """One photo of the attention grid.

    Attributes:
        photo: float32 `(height, width, 3)` in [0, 255].
        attention_map: float32 `(rows, columns)` in [0, 1].
        landmark: Name of the landmark it shows.
        predicted: Name of the landmark the model says.
        score: Probability of that, in [0, 1].
    """

    photo: np.ndarray
    attention_map: np.ndarray
    landmark: str
    predicted: str
    score: float


def draw_training_curves(history: Sequence[dict], best_epoch: int, path: Path) -> None:
    """Draws loss and accuracy per epoch; train dashed, validation solid, one colour per branch."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    branches = {"perception": PERCEPTION}
    if "attention_accuracy" in history[0]:
        branches["attention"] = ATTENTION
    epochs = range(1, len(history) + 1)
    for axes, measure in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for branch, colour in branches.items():
            for prefix, style, label in (("", "--", "train"), ("val_", "-", "validation")):
                values = [row[f"{prefix}{branch}_{measure}"] for row in history]
                name = f"{branch}, {label}"
                axes.plot(epochs, values, style, color=colour, marker="o", ms=4, label=name)
        axes.axvline(best_epoch + 1, color="0.8", linewidth=6, zorder=0, label="best epoch")
        axes.set(xlabel="epoch", title=measure)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_title("cross-entropy loss (nats)")
    figure.axes[1].set_ylim(0, 1.02)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    save_figure(figure, path)


def draw_confusion_matrix(matrix: np.ndarray, names: Sequence[str], title: str, path: Path) -> None:
    """Draws the share of each landmark's photos (row) taken for each landmark (column).

    Args:
        matrix: int `(landmarks, landmarks)`, counts; written into the cells where there is room.
        names: Landmark names in label order.
        title: Above the matrix.
        path: Where the PNG goes.
    """
    size = len(names)
    photos = matrix.sum(1, keepdims=True)
    shares = matrix / np.maximum(photos, 1)
    side = min(16.0, max(5.5, 2.6 + 0.36 * size))
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the landmark's photos", shrink=0.7)
    axes.set(title=title, xlabel="predicted", ylabel="shown")
    if size <= MOST_NAMES:
        labels = [_readable(name) for name in names]
        look = {"family": find_fonts(), "parse_math": False}
        turned = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(size), labels, **look, **turned)
        axes.set_yticks(range(size), labels, **look)
        axes.tick_params(labelsize=9 if size <= 15 else 7.5)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "black" if shares[i, j] > 0.55 else "white"
            axes.text(j, i, matrix[i, j], ha="center", va="center", color=colour, fontsize=7.5)
    save_figure(figure, path)


def draw_attention_grid(looks: Sequence[Look], title: str, path: Path, columns: int = 4) -> None:
    """Draws each photo beside the same photo under its map: bright is where the model looked."""
    rows = -(-len(looks) // columns)
    figure = Figure(figsize=(3.5 * columns, 2.15 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    family = find_fonts()
    for axes, look in zip(grid.flat, looks, strict=False):
        gap = np.full((len(look.photo), 6, 3), 255.0)
        pair = np.concatenate([look.photo, gap, lay_over(look.photo, look.attention_map)], axis=1)
        axes.imshow(pair.round().astype(np.uint8))
        right = look.landmark == look.predicted
        text = f"{_readable(look.predicted)}  {look.score:.0%}"
        if not right:
            text = f"is {_readable(look.landmark)}\nsaid {text}"
        colour = "black" if right else ATTENTION
        axes.set_title(text, fontsize=8, color=colour, family=family, parse_math=False)
    save_figure(figure, path)


def lay_over(photo: np.ndarray, attention_map: np.ndarray) -> np.ndarray:
    """Blends a map, stretched to its own range, over a photo: `(height, width, 3)` in [0, 255]."""
    height, width = photo.shape[:2]
    low, high = attention_map.min(), attention_map.max()
    scaled = (attention_map - low) / (high - low) if high > low else np.zeros_like(attention_map)
    scaled = _enlarge(scaled, height, width)[..., None]
    colour = colormaps["inferno"](scaled[..., 0])[..., :3] * 255
    gray = photo.mean(-1, keepdims=True)
    return 0.45 * gray + 0.55 * colour


def _enlarge(values, height, width):
    """Bilinear, each cell's value at the cell's centre."""
    for axis, size in ((0, height), (1, width)):
        cells = values.shape[axis]
        places = (np.arange(size) + 0.5) * cells / size - 0.5
        low = np.clip(np.floor(places).astype(int), 0, cells - 1)
        high = np.minimum(low + 1, cells - 1)
        share = np.clip(places - low, 0, 1)
        share = share[:, None] if axis == 0 else share[None]
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def _readable(name):
    return name.replace("_", " ")


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG: whole or not at all, and the same bytes for the same figure."""
    temporary = path.with_name(f"{path.stem}.tmp.png")
    with lacking_scripts_as_boxes():
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
    temporary.replace(path)
