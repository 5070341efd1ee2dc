"""Photos in a folder, and what they show: a sub-folder per landmark, named as the model does."""

import difflib
import sys
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from glr_keras.evaluation.answers import NO_LANDMARK, UNLABELLED
from glr_keras.evaluation.sources import LabelledPhoto
from glr_keras.inference.photo_inputs import photo_paths
from tfrecords.common.console import UserError
from tfrecords.common.types import one_line

SHOWN = 10  # names in a message


def labelled_photos(
    folder: Path, landmarks: Sequence[str], follow_links: bool = False
) -> list[LabelledPhoto]:
    """Lists the photos below a folder, with the labels that their folders give them.

    Args:
        folder: Holds a folder per landmark, photos, or both.
        landmarks: Names in label order.
        follow_links: Whether links that lead out of the folder are followed.

    Returns:
        LabelledPhotos: those directly in `folder` are `UNLABELLED`; those in a folder whose name
        the model does not know have the label `NO_LANDMARK`, and the name is printed.

    Raises:
        UserError: there are folders, and none of them has the name of a landmark.
    """
    label_of = {name: label for label, name in enumerate(landmarks)}
    photos, known = [], 0
    unknown: Counter[str] = Counter()
    for path in photo_paths([str(folder)], follow_links):
        parts = Path(path).relative_to(folder).parts
        if len(parts) == 1:
            photos.append(LabelledPhoto(path, path, UNLABELLED))
            continue
        name = one_line(unicodedata.normalize("NFC", parts[0]))  # as `build` calls a landmark
        label = label_of.get(name, NO_LANDMARK)
        known += label != NO_LANDMARK
        if label == NO_LANDMARK:
            unknown[name] += 1
        photos.append(LabelledPhoto(path, path, label))
    if unknown and not known:
        raise UserError(
            f"None of the {len(unknown):,} folders in {folder} has the name of a landmark that the "
            f"model knows: {_listed(unknown)}. Expected names such as {_listed(landmarks)}. Photos "
            "without a label belong directly into the folder."
        )
    if unknown:
        _warn(unknown, landmarks)
    return photos


def _warn(unknown, landmarks):
    print(
        f"warning: {sum(unknown.values()):,} photos lie in folders that no landmark of the model "
        "has the name of; they count as photos of other places:",
        file=sys.stderr,
    )
    for name, count in list(unknown.items())[:SHOWN]:
        similar = difflib.get_close_matches(name, landmarks, 1)
        hint = f"; a similar landmark is {similar[0]}" if similar else ""
        print(f"  {name} ({count:,} photos{hint})", file=sys.stderr)
    if len(unknown) > SHOWN:
        print(f"  and {len(unknown) - SHOWN:,} others", file=sys.stderr)


def _listed(names):
    names = list(names)
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
