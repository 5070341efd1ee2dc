"""What a request asks about its photo: the parameters behind the question mark."""

from collections.abc import Mapping
from dataclasses import dataclass

from glr_keras.inference.landmark_model import LandmarkModel
from glr_keras.serving.limits import Refusal
from tfrecords.common.console import UserError

MAX_TOP, MAX_NEIGHBOURS = 100, 24
PARAMETERS = ("top", "landmark", "neighbours")


@dataclass(frozen=True)
class Query:
    """Parameters of `POST /predict`.

    Attributes:
        top: Int, how many landmarks to name.
        neighbours: Int, how many known photos of the landmark to name.
        landmark: Name of the one that map and neighbours are about; None for the answer.
        label: Its label, or None.
    """

    top: int = 5
    neighbours: int = 0
    landmark: str | None = None
    label: int | None = None


def read_query(parameters: Mapping[str, str], model: LandmarkModel) -> Query:
    """Reads the parameters of a request.

    Raises:
        Refusal: 400 for an unknown one, a wrong number, an unknown landmark, or the map of a
            landmark asked of an export.
    """
    if unknown := sorted(set(parameters) - set(PARAMETERS)):
        raise _bad(f"Unknown parameter {unknown[0]!r}; expected {', '.join(PARAMETERS)}.")
    top = _number(parameters, "top", 1, MAX_TOP, 5)
    neighbours = _number(parameters, "neighbours", 0, MAX_NEIGHBOURS, 0)
    landmark = parameters.get("landmark")
    if landmark is None:
        return Query(top, neighbours)
    try:
        label = model.label_of(landmark)
        _ = model.recognizer  # an export has no maps of landmarks
    except UserError as error:
        raise _bad(str(error)) from error
    return Query(top, neighbours, landmark, label)


def _number(parameters, name, low, high, default):
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) < 9 and low <= int(text) <= high):
        raise _bad(f"Expected a number from {low} to {high} as {name}, got {text!r}.")
    return int(text)


def _bad(detail):
    return Refusal(400, "bad parameter", detail)
