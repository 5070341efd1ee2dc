"""Explains photos by several models: a picture of each, contact sheets, and the maps as numbers."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from glr_keras.data.views import eval_window
from glr_keras.explaining.photos import NamedPhoto, upright_pixels, window_in_pixels
from glr_keras.explaining.pictures import (
    OPACITY,
    SHEET_SIDE,
    Panel,
    SheetEntry,
    draw_contact_sheets,
    draw_explanation,
    limits_of,
    overlay,
)
from glr_keras.inference.landmark_model import Explanation, LandmarkModel
from glr_keras.inference.photo_inputs import picture_path
from glr_keras.models.heads import ABN
from glr_keras.models.landmark_maps import (
    ATTENTION,
    CLASS,
    GRAD_CAM,
    is_of_a_landmark,
    landmark_maps,
    name_of_landmark_maps,
)
from tfrecords.common.console import UserError
from tfrecords.common.files import atomic_path
from tfrecords.common.fonts import shorten
from tfrecords.common.types import REASONS, one_line

BATCH = 16  # photos per call of a model
TOP = 3  # landmarks named in a picture
LABELS = {
    ATTENTION: "attention, from 0 to 1",
    CLASS: "class activation, of its maximum",
    GRAD_CAM: "Grad-CAM, of its maximum",
}


@dataclass(frozen=True)
class Style:
    """How photos are explained.

    Attributes:
        landmark: Name of the one that the maps are about; None for the answer.
        beside: Names of further maps, see `landmark_maps`.
        opacity: Of the colours, in [0, 1].
        stretched: Whether the colours span each map's own range rather than 0 to 1.
    """

    landmark: str | None = None
    beside: Sequence[str] = ()
    opacity: float = OPACITY
    stretched: bool = False


@dataclass
class Gallery:
    """What is kept of all photos until the end: small pictures and maps."""

    entries: list[SheetEntry] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    columns: defaultdict[str, list] = field(default_factory=lambda: defaultdict(list))
    headings: list[str] = field(default_factory=list)
    failed: int = 0


def write_gallery(
    models: dict[str, LandmarkModel], photos: Iterable[NamedPhoto], style: Style, folder: Path
) -> Gallery:
    """Explains photos and prints a row for each, as they are done.

    A photo that can't be read has a row that says why, and the others are drawn.

    Args:
        models: By the names to show; all explain the same photos.
        photos: Any number.
        style: Style.
        folder: An empty folder. It gets `000001-NAME.png`, ..., `contact_sheet.png` and `maps.npz`.

    Raises:
        UserError: an unknown landmark, or a map that a model does not have.
    """
    check_style(models, style)
    gallery = Gallery()
    photos = iter(photos)
    number = 0
    while batch := list(islice(photos, BATCH)):
        answers = [explain_batch(model, batch, style) for model in models.values()]
        for row, photo in enumerate(batch):
            number += 1
            of_models = dict(zip(models, (answer[row] for answer in answers), strict=True))
            _explain_one(photo, models, of_models, style, folder, number, gallery)
    if gallery.names:
        title = f"From left to right: the photo; {'; '.join(gallery.headings)}"
        draw_contact_sheets(gallery.entries, title, folder)
        columns: dict[str, Any] = {key: np.array(values) for key, values in gallery.columns.items()}
        with atomic_path(folder / "maps.npz") as temporary:
            np.savez_compressed(temporary, photos=np.array(gallery.names), **columns)
    return gallery


def check_style(models: dict[str, LandmarkModel], style: Style) -> None:
    """Finds whether every model can be asked for this.

    Raises:
        UserError: as `write_gallery`.
    """
    for name, model in models.items():
        if style.landmark is not None:
            model.label_of(style.landmark)
        if style.landmark is not None or style.beside:
            is_abn = isinstance(model.recognizer.head, ABN)
            if not is_abn and {ATTENTION, CLASS} & set(style.beside):
                raise UserError(
                    f"{name} has a head without an attention branch, and so {GRAD_CAM} only."
                )


def explain_batch(
    model: LandmarkModel, photos: Sequence[NamedPhoto], style: Style
) -> list[tuple[Explanation, dict[str, np.ndarray]] | str]:
    """Explains photos; returns (explanation, maps by name) of each, or the reason why not."""
    outcomes = model.try_explain([photo.source for photo in photos], TOP, style.landmark)
    read = [outcome for outcome in outcomes if not isinstance(outcome, str)]
    further: dict[str, np.ndarray] = {}
    if read and style.beside:
        views = np.stack([outcome.view for outcome in read])
        features = np.asarray(model.recognizer.backbone(views, training=False))
        labels = None
        if style.landmark is not None:
            labels = [model.label_of(style.landmark)] * len(read)
        for name in style.beside:
            further[name] = landmark_maps(model.recognizer.head, features, name, labels)
    first = name_of_map(model, style)
    further.pop(first, None)
    explained = (
        (one, {first: one.attention_map} | {name: maps[row] for name, maps in further.items()})
        for row, one in enumerate(read)
    )
    return [one if isinstance(one, str) else next(explained) for one in outcomes]


def name_of_map(model: LandmarkModel, style: Style) -> str:
    """Names the map that `model` shows first."""
    if style.landmark is not None:
        return name_of_landmark_maps(model.recognizer.head)
    return ATTENTION if model.head == ABN.__name__ else GRAD_CAM


def _explain_one(photo, models, of_models, style, folder, number, gallery):
    pixels = upright_pixels(photo)
    reason = next((one for one in of_models.values() if isinstance(one, str)), None)
    if reason is None and pixels is None:
        reason = "damaged"
    if reason is not None:
        gallery.failed += 1
        print(f"{one_line(photo.name):<40} - {reason}: {REASONS[reason]}", flush=True)
        return
    target = picture_path(folder, number, photo.name)
    panels = [
        panel
        for name, one in of_models.items()
        for panel in _panels(name, models[name], *one, style)
    ]
    title = shorten(Path(photo.name).name) + (
        f"  is {shorten(photo.landmark)}" if photo.landmark else ""
    )
    draw_explanation(pixels, panels, title, target, style.opacity, style.stretched)
    gallery.headings = [panel.title.splitlines()[0] for panel in panels]
    gallery.entries.append(_sheet_entry(photo, pixels, panels, of_models, style))
    gallery.names.append(photo.name)
    gallery.columns["square"].append(eval_window(*pixels.shape[:2], panels[0].framing))
    for name, (explanation, maps) in of_models.items():
        prefix = f"{name}/" if len(of_models) > 1 else ""
        gallery.columns[f"{prefix}landmarks"].append(explanation.landmarks)
        gallery.columns[f"{prefix}scores"].append(explanation.scores)
        for kind, saliency in maps.items():
            gallery.columns[prefix + kind].append(saliency)
    (first, _), *_ = of_models.values()
    best = f"{first.scores[0]:6.1%} {first.landmarks[0]}"
    print(f"{one_line(photo.name):<40} {best:<40} {target}", flush=True)


def _panels(model_name, model, explanation, maps, style) -> Iterator[Panel]:
    said = [
        f"{score:.0%}  {shorten(name)}"
        for name, score in zip(explanation.landmarks, explanation.scores, strict=True)
    ]
    for kind, saliency in maps.items():
        about = f"{model_name}: {kind}"
        if style.landmark is not None and is_of_a_landmark(model.recognizer.head, kind):
            about += f" of {shorten(style.landmark)}"
        label = LABELS[kind] + (", stretched" if style.stretched else "")
        yield Panel(saliency, "\n".join([about, *said]), label, model.framing)


def _sheet_entry(photo, pixels, panels, of_models, style):
    top, left, height, width = window_in_pixels(*pixels.shape[:2], panels[0].framing)
    view = pixels[top : top + height, left : left + width]
    view = cv2.resize(view, (SHEET_SIDE, SHEET_SIDE), interpolation=cv2.INTER_AREA)
    tiles = [view]
    for panel in panels:
        limits = limits_of(panel.saliency, style.stretched)
        whole = (0, 0, SHEET_SIDE, SHEET_SIDE)
        tiles.append(overlay(view, whole, panel.saliency, limits, style.opacity))
    answers = [explanation for explanation, _ in of_models.values()]
    lines = [f"{answer.scores[0]:.0%} {shorten(answer.landmarks[0])}" for answer in answers]
    is_wrong = bool(photo.landmark) and any(
        answer.landmarks[0] != photo.landmark for answer in answers
    )
    if is_wrong:
        lines.insert(0, f"is {shorten(photo.landmark)}")
    return SheetEntry(tiles, "\n".join(lines), is_wrong)
