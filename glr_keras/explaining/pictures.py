"""Draws maps over photos: the photo as the user has it, what the model sees of it, and the map."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glr_keras.explaining.photos import window_in_pixels
from glr_keras.reporting.figures import ATTENTION as VERMILION
from glr_keras.reporting.figures import save_figure
from glr_keras.saliency.grids import enlarge
from tfrecords.common.fonts import find_fonts

COLOURS = "viridis"  # perceptually uniform, and read alike by colour-blind eyes
OPACITY = 0.55
HEIGHT = 3.4  # inches, of a photo in its own picture
BAR_WIDTH, GAP = 0.85, 0.12  # inches, of a colour bar with its numbers, and between parts
MAX_ASPECT = 3.0  # width over height, beyond which a panorama gets no more room
SHEET_COLUMNS, SHEET_ROWS = 4, 10  # photos on one contact sheet
SHEET_SIDE = 224  # pixels


@dataclass(frozen=True)
class Panel:
    """One map of a photo, and what the model said of it.

    Attributes:
        saliency: float32 `(rows, columns)` in [0, 1], on what the model sees of the photo.
        title: Above it; several lines.
        label: Of the colour bar.
        framing: What the model sees: see `data.views.eval_view`.
    """

    saliency: np.ndarray
    title: str
    label: str
    framing: str


def overlay(
    photo: np.ndarray,
    window: tuple[int, int, int, int],
    saliency: np.ndarray,
    limits: tuple[float, float] = (0.0, 1.0),
    opacity: float = OPACITY,
) -> np.ndarray:
    """Lays a map over the part of a photo that the model has seen, both in one picture.

    Args:
        photo: uint8 `(height, width, 3)`.
        window: (top, left, height, width) in pixels.
        saliency: `(rows, columns)`.
        limits: Values that the first and the last colour stand for.
        opacity: Of the colours, in [0, 1]; the photo below them is grey.

    Returns:
        uint8 array as `photo`; outside of the window it is the photo, paler.
    """
    top, left, height, width = window
    shown = photo * 0.5 + 127.5
    inside = (slice(top, top + height), slice(left, left + width))
    low, high = limits
    scaled = (enlarge(saliency, height, width) - low) / max(high - low, 1e-9)
    colours = colormaps[COLOURS](np.clip(scaled, 0, 1))[..., :3] * 255
    grey = photo[inside].mean(-1, keepdims=True)
    shown[inside] = (1 - opacity) * grey + opacity * colours
    return shown.round().astype(np.uint8)


def limits_of(saliency: np.ndarray, stretched: bool) -> tuple[float, float]:
    """Returns the values of the first and last colour: 0 and 1, or the map's own range."""
    return (float(saliency.min()), float(saliency.max())) if stretched else (0.0, 1.0)


def draw_explanation(
    photo: np.ndarray,
    panels: Sequence[Panel],
    title: str,
    path: Path,
    opacity: float = OPACITY,
    stretched: bool = False,
) -> None:
    """Draws a photo with the part that the model sees, and beside it the photo under each map.

    Args:
        photo: uint8 `(height, width, 3)`, upright.
        panels: One or more.
        title: Above all of them.
        path: Where the PNG goes.
        opacity: See `overlay`.
        stretched: Bool, whether the colours span each map's own range rather than 0 to 1.
    """
    height, width, _ = photo.shape
    aspect = float(np.clip(width / height, 1 / MAX_ASPECT, MAX_ASPECT))
    lines = max(panel.title.count("\n") + 1 for panel in panels)
    top = 0.35 + 0.17 * lines  # inches, above the photos
    panel_width = HEIGHT * aspect + BAR_WIDTH
    size = (HEIGHT * aspect + GAP + len(panels) * panel_width, HEIGHT + top + GAP)
    figure = Figure(figsize=size)
    text = {"family": find_fonts(), "parse_math": False}
    figure.suptitle(title, fontsize=10, y=1 - 0.08 / size[1], va="top", **text)

    def add_axes(left, wide):
        return figure.add_axes([left / size[0], GAP / size[1], wide / size[0], HEIGHT / size[1]])

    framings = {panel.framing for panel in panels}
    windows = {framing: window_in_pixels(height, width, framing) for framing in framings}
    axes = add_axes(GAP / 2, HEIGHT * aspect)
    axes.imshow(photo)
    sees = "the model sees all of it" if framings == {"whole"} else "the square is what it sees"
    axes.set_title(sees, fontsize=8, **text)
    for window in windows.values():
        _mark(axes, window)
    for number, panel in enumerate(panels):
        limits = limits_of(panel.saliency, stretched)
        left = HEIGHT * aspect + GAP + number * panel_width
        axes = add_axes(left, HEIGHT * aspect)
        axes.imshow(overlay(photo, windows[panel.framing], panel.saliency, limits, opacity))
        axes.set_title(panel.title, fontsize=8, **text)
        _mark(axes, windows[panel.framing])
        scale = ScalarMappable(Normalize(*limits), COLOURS)
        bar = add_axes(left + HEIGHT * aspect + GAP, GAP)
        figure.colorbar(scale, cax=bar).set_label(panel.label, fontsize=8)
        bar.tick_params(labelsize=7)
    save_figure(figure, path)


def _mark(axes, window):
    axes.axis("off")
    top, left, height, width = window
    for colour, line in (("black", 2.4), ("white", 1.2)):  # seen on dark and on bright photos
        frame = Rectangle((left, top), width - 1, height - 1, fill=False, ec=colour, lw=line)
        axes.add_patch(frame)


@dataclass(frozen=True)
class SheetEntry:
    """One photo of a contact sheet.

    Attributes:
        tiles: What the (first) model sees, then the same under each map: uint8
            `(SHEET_SIDE, SHEET_SIDE, 3)` each.
        caption: Below; a few lines.
        is_wrong: Whether the answer is known to be wrong.
    """

    tiles: Sequence[np.ndarray]
    caption: str
    is_wrong: bool


def draw_contact_sheets(entries: Sequence[SheetEntry], title: str, folder: Path) -> list[Path]:
    """Draws all photos small, on as many sheets as they need; returns the paths of these."""
    columns = max(1, SHEET_COLUMNS * 2 // len(entries[0].tiles))
    each = columns * SHEET_ROWS
    paths = []
    for start in range(0, len(entries), each):
        number = start // each + 1
        name = "contact_sheet.png" if len(entries) <= each else f"contact_sheet_{number}.png"
        paths.append(folder / name)
        _draw_sheet(entries[start : start + each], columns, title, paths[-1])
    return paths


def _draw_sheet(entries, columns, title, path):
    columns = min(columns, len(entries))
    rows = -(-len(entries) // columns)
    tiles = len(entries[0].tiles)
    lines = max(entry.caption.count("\n") + 1 for entry in entries)
    size = (1.75 * tiles * columns + 0.2, rows * (1.8 + 0.16 * lines) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    text = {"family": find_fonts(), "parse_math": False}
    figure.suptitle(title, fontsize=10, **text)
    grid = figure.subplots(rows, columns, squeeze=False)
    gap = np.full((SHEET_SIDE, 4, 3), 255, np.uint8)
    for axes, entry in zip(grid.flat, entries, strict=False):
        parts = [part for tile in entry.tiles for part in (gap, tile)][1:]
        axes.imshow(np.concatenate(parts, axis=1))
        colour = VERMILION if entry.is_wrong else "black"
        axes.set_title(entry.caption, fontsize=7, color=colour, **text)
    for axes in grid.flat:
        axes.axis("off")
    save_figure(figure, path)
