"""A file beside each photo with what it shows, as JSON or XMP, for the software of its library.

The name is that of the photo and an ending, as darktable and digiKam have it: `a.jpg.xmp`. A file
that another program wrote, or has changed since, is never replaced. No TensorFlow here.
"""

import errno
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

from glr_keras.predicting.locations import Location
from glr_keras.predicting.rows import landmark_row
from tfrecords.common.files import write_atomically
from tfrecords.common.types import one_line

STYLES = ("json", "xmp")
SOFTWARE = "glr-keras"
NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "glr": "urn:glr-keras:",
}
for prefix, uri in NAMESPACES.items():
    ElementTree.register_namespace(prefix, uri)


def write_sidecar(photo: str, prediction, style: str, locations: Mapping[str, Location]) -> str:
    """Writes what a photo shows beside it.

    Args:
        photo: Its path.
        prediction: `Prediction`.
        style: One of `STYLES`.
        locations: Where landmarks are.

    Returns:
        Why nothing was written: another program's file is there, or the folder can't be written;
        "" where it was.
    """
    path = Path(f"{photo}.{style}")
    try:
        if path.exists() and not _is_ours(path, style):
            return f"{path} is of another program"
        row = landmark_row(photo, prediction)
        location = locations.get(prediction.landmarks[0]) if row.get("is_landmark", True) else None
        text = {"json": _as_json, "xmp": _as_xmp}[style](row, location)
        write_atomically(path, text)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG):
            raise
        return f"{path} can't be written ({error.strerror})"
    return ""


def _is_ours(path, style):
    """Whether it is as we wrote it: programs that change XMP put their own name there."""
    try:
        text = path.read_text(encoding="utf-8")
        if style == "xmp":
            return ElementTree.fromstring(text).get(_name("x:xmptk")) == SOFTWARE
        return json.loads(text)["software"] == SOFTWARE
    except (ValueError, TypeError, KeyError, ElementTree.ParseError):
        return False


def _as_json(row, location):
    where = location._asdict() if location else {}
    row = {"software": SOFTWARE, **row, "photo": Path(row["photo"]).name, **where}
    return json.dumps(row, indent=2) + "\n"


def _as_xmp(row, location):
    best = row["landmarks"][0]
    name = one_line(best["landmark"])
    meta = ElementTree.Element(_name("x:xmpmeta"), {_name("x:xmptk"): SOFTWARE})
    about = ElementTree.SubElement(
        ElementTree.SubElement(meta, _name("rdf:RDF")),
        _name("rdf:Description"),
        {_name("rdf:about"): "", _name("glr:Score"): str(best["score"])},
    )
    if not row.get("is_landmark", True):
        about.set(_name("glr:IsLandmark"), "False")
        return ElementTree.tostring(meta, "unicode") + "\n"
    about.set(_name("Iptc4xmpCore:Location"), name)
    keywords = ElementTree.SubElement(about, _name("dc:subject"))
    bag = ElementTree.SubElement(keywords, _name("rdf:Bag"))
    ElementTree.SubElement(bag, _name("rdf:li")).text = name
    if location:
        about.set(_name("exif:GPSLatitude"), _degrees(location.latitude, "NS"))
        about.set(_name("exif:GPSLongitude"), _degrees(location.longitude, "EW"))
    return ElementTree.tostring(meta, "unicode") + "\n"


def _name(qualified):
    prefix, local = qualified.split(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _degrees(value, directions):
    """Degrees and minutes as XMP has them: 48,51.504N."""
    minutes = round(abs(value) * 60, 5)
    degrees = int(minutes // 60)
    return f"{degrees},{minutes - 60 * degrees:.5f}{directions[value < 0]}"
