"""One request to a photo server, and names that lead to it."""

import asyncio
import socket

from photo_server import BODY

from tfrecords.download.answers import Answer
from tfrecords.download.client import PhotoClient
from tfrecords.download.options import FetchOptions

OPTIONS = FetchOptions(allow_private=True, max_bytes=5 * BODY)
QUIET = FetchOptions(allow_private=True, timeout=0.2)  # gives up a silent server soon
BRIEF = FetchOptions(allow_private=True, deadline=0.4)  # gives up any request soon
PRIVATE = Answer("bad address", "leads into a private network")


def ask(location, folder, options=OPTIONS):
    """Asks as `fetch_photos` does; returns the answer and the photo's bytes, if it has come."""
    path = folder / "a" / "photo.jpg"

    async def ask_once():
        async with PhotoClient(options) as client:
            return await client.ask(location, path)

    answer = asyncio.run(ask_once())
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files in ([], [path])
    return answer, path.read_bytes() if files else None


def name_server(monkeypatch, *answers):
    """`photos.test` has the addresses of each answer in turn; returns the list of questions."""
    questions = []
    look_up = socket.getaddrinfo

    def answer(host, port, *args, **kwargs):
        if host != "photos.test":
            return look_up(host, port, *args, **kwargs)
        questions.append(host)
        found = answers[min(len(questions), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in found]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return questions
