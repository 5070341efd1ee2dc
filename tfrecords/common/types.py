"""Photos as they are listed and left out: the types that every part shares. No TensorFlow here."""

from dataclasses import dataclass

SPLITS = ("train", "validation", "test")
NO_BOX = (0.0, 0.0, 0.0, 0.0)
MIN_SIDE = 32  # pixels; below that no landmark can be recognised (a guess)
MAX_PIXELS = 200_000_000  # a 200-megapixel phone photo; more is taken for a decompression bomb
MAX_MEMORY = 500_000_000  # bytes that decoding one photo may take
MAX_FILE_BYTES = 256_000_000  # more than any photo, less than most videos

REASONS = {
    "empty": "the file has no bytes",
    "not a photo": "no decoder knows the file: a text, a web page, another kind of file",
    "damaged": "the photo starts well and then ends early or is corrupt",
    "too small": f"its short side has fewer than {MIN_SIDE} pixels",
    "too large": f"it has over {MAX_PIXELS // 1_000_000} million pixels, needs over "
    f"{MAX_MEMORY // 1_000_000} MB to decode, or is too long for JPEG",
    "too costly": "the process that decoded it was killed, most likely because memory ran out",
    "HEIC": "it is a photo in HEIC; to read these: pip install -e '.[heif]'",
    "unreadable": "the operating system did not let us read it, or it is a pipe, device or socket",
    "no landmark folder": "the photo lies beside the landmarks' folders, not inside one",
    "beside the splits": "it lies beside train, validation and test, so it is in no split",
    "link": "a link out of the photo folder (--follow-links), or to a folder that is read anyway",
    "records or run": "a folder of records, of a run or of an export, no landmark",
    "untrained landmark": "a pre-split folder has its landmark in validation or test only",
    "bad row": "a row of the index that can't be understood",
    "unsafe name": "an id that is no plain file name: `..`, a slash, a control character",
    "repeated id": "the index lists it more than once; the first row counts",
    "folder": "it is a folder, where a photo was expected",
    "missing": "it is listed, and no such file is there",
    "unsafe archive entry": "a link or an entry with `..` or an absolute path in a tar",
    "bad address": "its URL is not http(s), or leads to a private network or an unusual port",
    "not found": "the server answered that it is not there (404, 410)",
    "refused": "the server does not give it to us (401, 403 and other 4xx)",
    "server error": "the server failed or was too busy each time (408, 425, 429, 5xx)",
    "no answer": "no connection, or nothing came in time, every time it was asked",
    "too many redirects": "the server sent us on again and again",
    "too many bytes": f"it has over {MAX_FILE_BYTES // 1_000_000} MB, or more than --max-bytes",
    "incomplete": "fewer bytes came than the server had announced, every time it was asked",
    "duplicate": "an exact copy of another photo of its landmark, which is kept",
    "two landmarks": "it, or a copy of it, is listed under another landmark",
    "over the limit": "its landmark has more photos than --max-photos",
}


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo as listed: not yet opened. An index may hold millions, hence the slots.

    Attributes:
        photo_id: Its key: the id in a CSV index, or its path below a photo folder, with forward
            slashes; unique.
        landmark_id: The landmark's number in a CSV index, or the name of its folder.
        location: Where its source finds it: a path or a URL; empty where `photo_id` says it.
        box: (ymin, xmin, ymax, xmax) in [0, 1] of the landmark; all zero if unknown.
        split: The split that a pre-split folder puts it in; empty where it is to be assigned.
    """

    photo_id: str
    landmark_id: str
    location: str = ""
    box: tuple[float, float, float, float] = NO_BOX
    split: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A photo that was left out.

    Attributes:
        photo_id: Its key, or what was given instead where that is what is wrong.
        reason: A key of `tfrecords.common.types.REASONS`.
        detail: What more is known: a line number, an HTTP status, the other photo.
    """

    photo_id: str
    reason: str
    detail: str = ""


def is_box(ymin: float, xmin: float, ymax: float, xmax: float) -> bool:
    """Whether these are the sides of a box in [0, 1]; those of NO_BOX are."""
    return 0 <= ymin <= ymax <= 1 and 0 <= xmin <= xmax <= 1


def one_line(name: str) -> str:
    """Label names are kept one per line and without space around them: two must not become one."""
    core = name.strip()
    start = len(name) - len(name.lstrip())
    ends = name[:start], name[start + len(core) :]
    before, after = ("".join(f"\\x{ord(character):02x}" for character in end) for end in ends)
    core = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in core)
    return before + core + after


def landmark_order(landmark_id: str) -> tuple[bool, int, str]:
    """Returns a sort key: numbers by value, then names by letter."""
    is_name = not landmark_id.isdecimal()
    return is_name, 0 if is_name else int(landmark_id), landmark_id
