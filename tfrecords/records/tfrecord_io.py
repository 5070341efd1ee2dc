"""The framing of a TFRecord file: where records begin and end, and their checksums."""

import hashlib
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import google_crc32c

HEADER = struct.Struct("<QI")  # length of the data, checksum of these 8 bytes
FOOTER = struct.Struct("<I")  # checksum of the data


class Frame(NamedTuple):
    """A record as it is stored in its file.

    Attributes:
        number: Its place in the file, from 1.
        data: Bytes of the record; None where neither they nor any later record can be found.
        checksum: What the file says that the checksum of the data is.
        problem: What is wrong with the header; empty if nothing.
    """

    number: int
    data: bytes | None
    checksum: int = 0
    problem: str = ""


class Written(NamedTuple):
    """A file that `write_records` wrote.

    Attributes:
        records: How many it holds.
        data_bytes: Size of these without their frames.
        file_bytes: Size of the file.
        sha256: Of the file, hexadecimal.
    """

    records: int
    data_bytes: int
    file_bytes: int
    sha256: str


def write_records(path: Path, records: Iterable[bytes]) -> Written:
    """Writes a shard as `tf.io.TFRecordWriter` does, without the seconds TensorFlow takes to load.

    It is hashed while it is written: reading 100 GB again takes long.
    """
    count = data_bytes = 0
    sha256 = hashlib.sha256()
    with open(path, "wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            header = length + FOOTER.pack(masked_crc(length))
            for part in (header, record, FOOTER.pack(masked_crc(record))):
                file.write(part)
                sha256.update(part)
            count += 1
            data_bytes += len(record)
        file_bytes = file.tell()
    return Written(count, data_bytes, file_bytes, sha256.hexdigest())


def record_offsets(path: Path) -> list[int]:
    """Returns where each record's frame begins in a shard, in bytes; reads the lengths only.

    Raises:
        ValueError: a length is damaged, or the file ends early.
    """
    size = path.stat().st_size
    offsets, end = [], 0
    with open(path, "rb") as file:
        while end < size:
            offsets.append(end)
            file.seek(end)
            header = file.read(HEADER.size)
            if len(header) < HEADER.size or not _is_header(header):
                raise ValueError(f"{path}, record {len(offsets)}: its length is damaged")
            end += HEADER.size + HEADER.unpack(header)[0] + FOOTER.size
    if end != size:
        raise ValueError(f"{path} ends within record {len(offsets)}")
    return offsets


def read_record(path: Path, offset: int) -> bytes:
    """Returns the record whose frame begins at `offset`.

    Raises:
        ValueError: it is damaged.
    """
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        header = file.read(HEADER.size)
        if len(header) == HEADER.size and _is_header(header):
            data = file.read(HEADER.unpack(header)[0])
            if file.read(FOOTER.size) == FOOTER.pack(masked_crc(data)):
                return data
    raise ValueError(f"{path}: the record at byte {offset} is damaged")


def read_frames(path: Path) -> Iterator[Frame]:
    """Yields every record of a shard; the last may say why nothing after it can be read.

    tf.data stops at the first byte that is wrong, without a file name, and takes a file that ends
    between two records, or inside a header, for complete. This continues where it can.

    Reference:
    - [TFRecord](https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details)
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        number = 1
        while header := file.read(HEADER.size):
            frame = _read_frame(file, header, size, number)
            yield frame
            if frame.data is None:
                return
            number += 1


def _read_frame(file, header, size, number):
    if len(header) < HEADER.size:
        return Frame(number, None, problem=f"ends after {len(header)} of the header's 12 bytes")
    length, _ = HEADER.unpack(header)
    problem = ""
    if not _is_header(header):
        if not _is_followed(file, length, size):
            return Frame(number, None, problem="its length is damaged")
        problem = "its length does not fit the length's checksum"
    left = size - file.tell()
    if left < length + FOOTER.size:
        text = f"ends after {left:,} of the {length + FOOTER.size:,} bytes of data and checksum"
        return Frame(number, None, problem=text)
    data = file.read(length)
    (checksum,) = FOOTER.unpack(file.read(FOOTER.size))
    return Frame(number, data, checksum, problem)


def _is_header(header):
    _, checksum = HEADER.unpack(header)
    return masked_crc(header[:8]) == checksum


def _is_followed(file, length, size):
    """Whether a record of that length would end where another begins, or the file ends."""
    start = file.tell()
    end = start + length + FOOTER.size
    if end + HEADER.size > size:
        return end == size
    file.seek(end)
    header = file.read(HEADER.size)
    file.seek(start)
    return _is_header(header)


def masked_crc(data: bytes) -> int:
    """Returns the checksum of `data` as a TFRecord stores it: CRC-32C, turned and shifted."""
    checksum = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF
