"""Puts another map in place of an ABN's own, and shows how its answer changes."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from glr_keras.calibration.temperature import apply_temperature
from glr_keras.data.views import eval_window
from glr_keras.explaining.photos import NamedPhoto, named_photos, upright_pixels, window_in_pixels
from glr_keras.explaining.pictures import Panel, draw_explanation
from glr_keras.inference.landmark_model import LandmarkModel, load
from glr_keras.inference.photo_inputs import picture_path
from glr_keras.models.attention import probabilities_of
from glr_keras.models.heads import ABN
from glr_keras.models.landmark_maps import ATTENTION, landmark_maps
from glr_keras.saliency.grids import box_to_grid, to_grid
from glr_keras.saliency.localization import box_in_view
from tfrecords.common.console import UserError
from tfrecords.common.fonts import shorten
from tfrecords.common.types import REASONS, one_line
from tfrecords.images.orientation import orientation_of

TOP = 3  # landmarks named


def intervene(args: argparse.Namespace) -> int:
    """Does what `--keep-box`, `--mask` and `--map` ask for; returns how many photos failed.

    Raises:
        UserError: a head without attention, a mask or map of another size, a box that the model
            does not see.
    """
    photos = list(named_photos(args.photos, args.follow_links))
    model = load(args.models[0])
    make_map = map_maker(args, photos, model.framing)
    if not isinstance(model.recognizer.head, ABN):
        raise UserError(
            f"{args.models[0]} has a head without attention: there is no map to replace."
        )
    failed = 0
    for number, photo in enumerate(photos, 1):
        view = model.try_views([photo.source])[0]
        pixels = upright_pixels(photo)
        if isinstance(view, str) or pixels is None:
            reason = view if isinstance(view, str) else "damaged"
            print(f"{one_line(photo.name):<40} - {reason}: {REASONS[reason]}")
            failed += 1
            continue
        features = np.asarray(model.recognizer.backbone(view[None], training=False))
        given = make_map(pixels.shape[:2], features.shape[1:3])
        target = picture_path(args.out, number, photo.name)
        _compare(model, photo, pixels, features, given, target, args)
    return failed


def answer_with(head: ABN, features: np.ndarray, attention_map: np.ndarray) -> np.ndarray:
    """Computes what an ABN answers with this map instead of its own.

    Args:
        head: ABN.
        features: float32 `(photos, rows, columns, channels)`.
        attention_map: float32 `(photos, rows, columns)` in [0, 1].

    Returns:
        float32 `(photos, landmarks)`, rows add up to 1.
    """
    outputs = head(features, training=False)
    seen = head.normalization(features, training=False) if head.trunk is None else features
    weighted = seen * (1 + tf.constant(attention_map, tf.float32)[..., None])
    outputs["perception"] = head.perceive(weighted)
    return np.asarray(probabilities_of(head, outputs))


def map_maker(args: argparse.Namespace, photos: list[NamedPhoto], framing: str) -> Callable:
    """Returns a function from a photo's and a grid's (height, width) to the map asked for.

    Raises:
        UserError: a mask or map that can't be read, or a mask of another size than a photo.
    """
    if args.keep_box is not None:
        return lambda shape, grid: map_of_box(args.keep_box, shape, grid, framing)
    if args.map is not None:
        values = read_map(args.map)
        return lambda shape, grid: _fitting(values, grid, args.map)
    mask = read_mask(args.mask)
    for photo in photos:
        size = upright_size(Path(photo.name))
        if size is not None and size != mask.shape[::-1]:
            raise UserError(
                f"--mask {args.mask}: expected {size[0]} x {size[1]} pixels, the size of "
                f"{photo.name}, got {mask.shape[1]} x {mask.shape[0]}."
            )
    return lambda shape, grid: map_of_mask(mask, grid, framing)


def map_of_box(box, shape: tuple[int, int], grid: tuple[int, int], framing: str) -> np.ndarray:
    """Returns a map that is 1 in a box of the photo, and 0 elsewhere.

    Raises:
        UserError: the box lies outside of what the model sees.
    """
    window = eval_window(*shape, framing)
    moved = box_in_view(np.array(box), window)
    if not moved.any():
        shown = ",".join(f"{side:.2f}" for side in window)
        raise UserError(
            f"--keep-box {','.join(map(str, box))} lies outside of what the model sees: {shown}"
        )
    return box_to_grid(moved.tolist(), *grid)


def map_of_mask(mask: np.ndarray, grid: tuple[int, int], framing: str) -> np.ndarray:
    """Returns the mean of a mask of the whole photo in each cell of the model's grid."""
    height, width = mask.shape
    top, left, height, width = window_in_pixels(height, width, framing)
    inside = mask[top : top + height, left : left + width]
    return to_grid(inside[None], *grid)[0]


def read_mask(path: Path) -> np.ndarray:
    """Reads a picture as grey: float64 `(height, width)` in [0, 1]."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"), np.float64) / 255
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"--mask {path} can't be read as a picture ({error}).") from error


def read_map(path: Path) -> np.ndarray:
    """Reads a map that numpy has saved: float64 `(rows, columns)` in [0, 1]."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"--map {path} can't be read as a .npy file ({error}).") from error
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "buif":
        raise UserError(f"--map {path}: expected an array of numbers (rows, columns).")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise UserError(f"--map {path}: expected values in [0, 1].")
    return values.astype(np.float64)


def _fitting(values, grid, path):
    if values.shape != tuple(grid):
        raise UserError(
            f"--map {path}: expected {grid[0]} x {grid[1]} cells, as the model's own maps have; "
            f"got {values.shape[0]} x {values.shape[1]}."
        )
    return values


def upright_size(path: Path) -> tuple[int, int] | None:
    """Returns (width, height) of a photo turned by its EXIF; None where it can't be read."""
    try:
        with Image.open(path) as image:
            sides_are_swapped = orientation_of(image) >= 5
            return image.size[::-1] if sides_are_swapped else image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _compare(
    model: LandmarkModel,
    photo: NamedPhoto,
    pixels: np.ndarray,
    features: np.ndarray,
    given: np.ndarray,
    target: Path,
    args: argparse.Namespace,
) -> None:
    head = model.recognizer.head
    own = landmark_maps(head, features, ATTENTION)[0]
    cases = (
        ("the network's map", own, np.asarray(head.probabilities(features))[0]),
        ("the map in its place", given, answer_with(head, features, given[None])[0]),
    )
    panels, said = [], []
    for name, saliency, raw in cases:
        probabilities = np.exp(apply_temperature(np.log(raw), model.temperature))
        best = np.argsort(-probabilities, kind="stable")[:TOP]
        rows = [f"{probabilities[label]:.1%}  {shorten(model.landmarks[label])}" for label in best]
        title = "\n".join([name, *rows])
        panels.append(Panel(saliency, title, "attention, from 0 to 1", model.framing))
        said.append(rows[0])
    draw_explanation(
        pixels, panels, shorten(Path(photo.name).name), target, args.opacity, args.stretched
    )
    print(f"{one_line(photo.name):<40} {' -> '.join(said)}  {target}", flush=True)
