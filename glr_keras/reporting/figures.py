"""Every picture of a run, as PNG files. Colours can be told apart by colour-blind eyes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from glr_keras.saliency.grids import min_max
from tfrecords.common.files import atomic_path
from tfrecords.common.fonts import find_fonts, lacking_scripts_as_boxes, shorten

ATTENTION, PERCEPTION = "#d55e00", "#0072b2"  # vermilion and blue of Okabe and Ito
DPI = 120
MAX_NAMES = 60  # landmarks along an axis; more have no room for their names
MATRIX_LIMIT = 300  # landmarks; a picture of more has less than 4 pixels per cell


@dataclass(frozen=True)
class AttentionExample:
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
        axes.locator_params(axis="x", integer=True)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_title("cross-entropy loss (nats)")
    figure.axes[1].set_ylim(0, 1.02)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    save_figure(figure, path)


def draw_confusion_matrix(matrix: np.ndarray, names: Sequence[str], title: str, path: Path) -> None:
    """Draws the fraction of each landmark's photos (row) taken for each landmark (column).

    Args:
        matrix: int `(landmarks, landmarks)`, counts; written into the cells where there is room.
        names: Landmark names in label order, at most `MATRIX_LIMIT`.
        title: Above the matrix.
        path: Where the PNG goes.
    """
    size = len(names)
    photos = matrix.sum(1, keepdims=True)
    fractions = matrix / np.maximum(photos, 1)
    side = min(16.0, max(5.5, 2.6 + 0.36 * size))  # inches
    figure = Figure(figsize=(side + 1.0, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(fractions, cmap="cividis", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="fraction of the landmark's photos", shrink=0.7)
    axes.set(title=title, xlabel="predicted", ylabel="shown")
    if size <= MAX_NAMES:
        labels = [shorten(name) for name in names]
        text: dict[str, Any] = {"family": find_fonts(), "parse_math": False}
        slanted: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
        axes.set_xticks(range(size), labels, **text, **slanted)
        axes.set_yticks(range(size), labels, **text)
        axes.tick_params(labelsize=9 if size <= 15 else 7.5)
        for i, j in zip(*np.nonzero(matrix), strict=True):
            colour = "black" if fractions[i, j] > 0.55 else "white"
            axes.text(j, i, matrix[i, j], ha="center", va="center", color=colour, fontsize=7.5)
    save_figure(figure, path)


def draw_most_confused(pairs: Sequence[dict], title: str, path: Path) -> None:
    """Draws a bar for each pair of landmarks that were confused most often.

    Args:
        pairs: From `glr_keras.runs.metrics.most_confused`, perhaps none.
        title: Above the bars.
        path: Where the PNG goes.
    """
    figure = Figure(figsize=(9, 1.4 + 0.3 * max(1, len(pairs))), layout="constrained")
    axes = figure.add_subplot()
    labels = [f"{shorten(one['landmark'])} → {shorten(one['predicted'])}" for one in pairs]
    axes.barh(range(len(pairs)), [one["photos"] for one in pairs], color=PERCEPTION)
    text: dict[str, Any] = {"family": find_fonts(), "parse_math": False, "fontsize": 8}
    axes.set_yticks(range(len(pairs)), labels, **text)
    axes.invert_yaxis()
    axes.set(title=title, xlabel="photos of the first landmark taken for the second")
    axes.locator_params(axis="x", integer=True)
    axes.spines[["top", "right"]].set_visible(False)
    save_figure(figure, path)


def draw_attention_grid(
    examples: Sequence[AttentionExample], title: str, path: Path, columns: int = 4
) -> None:
    """Draws each photo beside the same photo under its map: bright is where the model looked."""
    rows = math.ceil(len(examples) / columns)
    figure = Figure(figsize=(3.5 * columns, 2.15 * rows + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    family = find_fonts()
    for axes, one in zip(grid.flat, examples, strict=False):
        gap = np.full((len(one.photo), 6, 3), 255.0)
        overlaid = overlay_heatmap(one.photo, one.attention_map)
        pair = np.concatenate([one.photo, gap, overlaid], axis=1)
        axes.imshow(pair.round().astype(np.uint8))
        correct = one.landmark == one.predicted
        text = f"{shorten(one.predicted)}  {one.score:.0%}"
        if not correct:
            text = f"is {shorten(one.landmark)}\nsaid {text}"
        colour = "black" if correct else ATTENTION
        axes.set_title(text, fontsize=8, color=colour, family=family, parse_math=False)
    save_figure(figure, path)


def overlay_heatmap(photo: np.ndarray, attention_map: np.ndarray) -> np.ndarray:
    """Blends a map, stretched to its own range, over the photo in gray.

    Args:
        photo: float32 `(height, width, 3)` in [0, 255].
        attention_map: float32 `(rows, columns)`.

    Returns:
        float `(height, width, 3)` in [0, 255].
    """
    height, width = photo.shape[:2]
    scaled = cv2.resize(min_max(attention_map), (width, height), interpolation=cv2.INTER_LINEAR)
    colour = colormaps["inferno"](scaled)[..., :3] * 255
    gray = photo.mean(-1, keepdims=True)
    return 0.45 * gray + 0.55 * colour


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a PNG atomically; the same figure gives the same bytes."""
    with atomic_path(path) as temporary, lacking_scripts_as_boxes():
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})
