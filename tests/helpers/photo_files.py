"""Files of photos of every kind, made in memory."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

ORIENTATION = 0x0112  # EXIF tag


def picture(width=90, height=60, seed=0):
    """A smooth RGB picture without symmetry."""
    noise = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def grain(width, height, seed=0):
    """A picture that does not compress, so half of its file is half of its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def encode(photo, style="JPEG", **settings):
    out = io.BytesIO()
    photo.save(out, style, **settings)
    return out.getvalue()


def tiff_block(orientation, order="<", kind=3):
    """The body of EXIF: one table with the orientation as BYTE (1), SHORT (3), LONG (4), ..."""
    value = {
        1: struct.pack(order + "B3x", orientation),
        2: b"%d\0\0\0" % orientation,
        3: struct.pack(order + "HH", orientation, 0),
        4: struct.pack(order + "I", orientation),
        8: struct.pack(order + "hH", orientation, 0),
        9: struct.pack(order + "i", orientation),
        11: struct.pack(order + "f", orientation),
    }[kind]
    start = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHI", ORIENTATION, kind, 1) + value
    return start + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


def xmp_packet(orientation):
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
        b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
        b'tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>' % orientation
    )


def jpeg_segment(marker, contents):
    return bytes([0xFF, marker]) + struct.pack(">H", len(contents) + 2) + contents


def exif_segment(orientation, order="<", kind=3):
    return jpeg_segment(0xE1, b"Exif\0\0" + tiff_block(orientation, order, kind))


def xmp_segment(orientation):
    return jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(orientation))


def insert(jpeg, segment, before=None):
    """Puts a segment behind the start of a JPEG, or before the first marker `before`."""
    place = 2 if before is None else jpeg.index(before)
    return jpeg[:place] + segment + jpeg[place:]


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def insert_chunk(png, name, body, before=b"IDAT"):
    place = png.index(before) - 4
    return png[:place] + png_chunk(name, body) + png[place:]


def png_header(width, height, depth=8, color=2, pixels=b""):
    """A PNG that claims a size and holds no pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    body = png_chunk(b"IDAT", zlib.compress(pixels)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + body


def color_profile(primaries, gamma=None, table=()):
    """A colour profile (ICC, version 2) of three primaries and one curve; `Image.save` embeds it.

    Args:
        primaries: X, Y, Z of red, green and blue for the D50 white.
        gamma: Float; or `table` is the curve, integers up to 65,535.
    """

    def fixed(*numbers):
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    def xyz(*numbers):
        return b"XYZ \0\0\0\0" + fixed(*numbers)

    table = [round(gamma * 256)] if gamma else table
    curve = b"curv\0\0\0\0" + struct.pack(f">I{len(table)}H", len(table), *table)
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + bytes(87)),
        (b"cprt", b"text\0\0\0\0none\0"),
        (b"wtpt", xyz(0.9642, 1, 0.8249)),
        *zip((b"rXYZ", b"gXYZ", b"bXYZ"), (xyz(*primary) for primary in primaries), strict=True),
        *((name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, contents in tags:
        contents += bytes(-len(contents) % 4)
        table += name + struct.pack(">II", start + len(body), len(contents))
        body += contents
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    return head + fixed(0.9642, 1, 0.8249) + bytes(48) + table + body


DISPLAY_P3 = color_profile(
    [(0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841)], 2.2
)
