"""The photo of a request: the whole body, or a part of a form; in memory, never on disk."""

from aiohttp import BodyPartReader, web
from aiohttp.http import HttpProcessingError

from glr_keras.serving.limits import Refusal

MAX_PARTS = 16  # of a form; the photo is among the first
CHUNK = 65_536
FORM_BYTES = 65_536  # of a form beside its photo


async def read_photo_body(request: web.Request, max_bytes: int) -> bytes:
    """Returns the bytes of a request's photo; its content decides what it is, not its type.

    Args:
        request: With the photo as its body, or as multipart/form-data whose first file it is.
        max_bytes: Int, of the photo.

    Raises:
        Refusal: 413 for more bytes, 400 for a form without a file or a broken encoding.
    """
    is_form = request.content_type.startswith("multipart/")
    try:
        if is_form:
            return await _first_file(await request.multipart(), max_bytes)
        return await _joined(request.content.read, max_bytes)
    except (ValueError, HttpProcessingError, web.RequestPayloadError) as error:
        what = "multipart form" if is_form else "body"
        raise Refusal(400, "bad request", f"The {what} can't be understood.") from error


def check_length(request: web.Request, max_bytes: int) -> int:
    """Returns how many bytes a body will take at most.

    Raises:
        Refusal: 413, as its Content-Length announces too many.
    """
    is_form = request.content_type.startswith("multipart/")
    most = max_bytes + (FORM_BYTES if is_form else 0)
    if (request.content_length or 0) > most:
        raise too_many_bytes(max_bytes)
    return most if request.content_length is None else request.content_length


def too_many_bytes(max_bytes: int) -> Refusal:
    """The answer to a file that is too large."""
    detail = f"The file is larger than {max_bytes / 1e6:g} MB, which is what this server takes."
    return Refusal(413, "too many bytes", detail)


async def _first_file(reader, max_bytes):
    for _ in range(MAX_PARTS):
        part = await reader.next()
        if part is None:
            break
        if isinstance(part, BodyPartReader) and (part.filename or part.name == "photo"):
            return await _joined(part.read_chunk, max_bytes)
        await part.release()
    raise Refusal(400, "no photo", "Expected a form with a file, and there is none.")


async def _joined(read, max_bytes):
    data = bytearray()
    while chunk := await read(CHUNK):
        data += chunk
        if len(data) > max_bytes:
            raise too_many_bytes(max_bytes)
    return bytes(data)
