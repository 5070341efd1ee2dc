"""What becomes of each answer of `predict`: a row, a map, a sidecar. No TensorFlow here."""

import argparse
import sys
from collections.abc import Mapping

from PIL import Image

from glr_keras.inference.photo_inputs import picture_path
from glr_keras.predicting.locations import Location
from glr_keras.predicting.rows import start_rows
from glr_keras.predicting.sidecars import write_sidecar
from glr_keras.predicting.videos import BestFrames, Frame


class AnswerWriter:
    """Writes answers in the order given, and counts.

    Attributes:
        top: Int, landmarks per row.
        photos: How many answers there were; frames of videos count as photos.
        failed: How many of them are reasons why a photo could not be read.
        unwritten: How many sidecars were not written.
    """

    def __init__(self, args: argparse.Namespace, top: int, locations: Mapping[str, Location]):
        """Begins to write: a CSV gets its header.

        Args:
            args: `format`, `maps`, `multi_crop` and `sidecar` of the command.
            top: Int, landmarks per row.
            locations: Of landmarks, by name; for sidecars.
        """
        self.top = top
        self.photos = self.failed = self.unwritten = 0
        self._args = args
        self._locations = locations
        self._write_row = start_rows(
            args.format, top, sys.stdout, args.maps is not None, args.multi_crop
        )
        self._best_frames = BestFrames()

    def write(self, photo: str | Frame, outcome) -> None:
        """Writes the answer for a photo: its prediction, or a key of `types.REASONS`."""
        self.photos += 1
        is_read = not isinstance(outcome, str)
        self.failed += not is_read
        drawn = ""
        if is_read and self._args.maps:
            drawn = _draw_map(outcome, str(photo), self.photos, self._args.maps)
        self._write_row(str(photo), outcome, drawn)
        if not is_read:
            return
        if isinstance(photo, Frame):
            if outcome.is_landmark is not False:
                self._best_frames.add(photo, outcome.landmarks[0], float(outcome.scores[0]))
        elif self._args.sidecar:
            problem = write_sidecar(photo, outcome, self._args.sidecar, self._locations)
            if problem:
                self.unwritten += 1
                print(f"warning: {problem}.", file=sys.stderr)

    def print_summary(self) -> None:
        """Prints the best frames of videos, and what was not done, on standard error."""
        for line in self._best_frames.lines():
            print(line, file=sys.stderr)
        if self.failed:
            text = f"{self.failed:,} of {self.photos:,} photos could not be read."
            print(text, file=sys.stderr)
        if self.unwritten:
            nouns = "sidecar was" if self.unwritten == 1 else "sidecars were"
            print(f"{self.unwritten:,} {nouns} not written.", file=sys.stderr)


def _draw_map(explanation, path, number, folder):
    """Draws where the model looked; returns the path of the PNG."""
    from glr_keras.reporting.figures import overlay_heatmap  # matplotlib takes a second to import

    picture = overlay_heatmap(explanation.view, explanation.attention_map)
    target = picture_path(folder, number, path)
    temporary = target.with_suffix(".tmp")
    Image.fromarray(picture.round().astype("uint8")).save(temporary, "PNG")
    temporary.replace(target)
    return str(target)
