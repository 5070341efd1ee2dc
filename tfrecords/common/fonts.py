"""Landmark names in pictures: in any script that a font of this machine has."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from tfrecords.common import text

# Have scripts that matplotlib's own font lacks, on Linux, Windows, macOS; used where installed
FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans Devanagari",
    "Microsoft YaHei",
    "Malgun Gothic",
    "Nirmala UI",
    "Arial Unicode MS",
)
MAX_NAME_COLUMNS = 32  # as a terminal counts them; longer names would shrink a plot


def shorten(name: str) -> str:
    """Returns a landmark's name, or that of its folder, on one line of at most 32 columns."""
    return text.shorten(name.replace("_", " "), MAX_NAME_COLUMNS)


def find_fonts() -> list[str]:
    """Returns the `family` of a text that holds a name: matplotlib's own font, then others."""
    from matplotlib import font_manager, rcParams

    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [*rcParams["font.family"], *(font for font in FONTS if font in installed)]


@contextmanager
def lacking_scripts_as_boxes() -> Iterator[None]:
    """Draws without a warning a name whose script no font here has; a file beside has the names."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        warnings.filterwarnings("ignore", "Matplotlib currently does not support")
        yield
