"""Archives of Google Landmarks: fetched once, checked by md5, and again after whatever went wrong.

The server is a real one, on loopback.
"""

import asyncio
import hashlib
import re
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO

import pytest
from loopback import serving
from paths import REPOSITORY

from tfrecords.common.console import UserError
from tfrecords.sources import archive_transfers as transfers
from tfrecords.sources.archives import fetch_archives, parse_archives
from tfrecords.sources.tars import open_tars


def tar_bytes(number):
    """A small tar with a photo of its own."""
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        info = tarfile.TarInfo(f"a/b/c/{number:016x}.jpg")
        info.size = 3000
        tar.addfile(info, BytesIO(bytes([number]) * info.size))
    return data.getvalue()


def md5_of(data):
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def tar_path(number):
    return f"/train/images_{number:03}.tar"


def md5_path(number):
    return f"/md5sum/train/md5.images_{number:03}.txt"


class Server:
    """Answers a path with what `answers` has for it, one after the other, the last one for ever.

    An answer is the body, or a function that is given the request's handler. What is asked for is
    counted in `requests`.
    """

    def __init__(self, numbers=range(4)):
        self.requests = Counter()
        self.answers = {}
        for number in numbers:
            data = tar_bytes(number)
            self.answers[tar_path(number)] = [data]
            line = f"{md5_of(data)}  images_{number:03}.tar\n"
            self.answers[md5_path(number)] = [line.encode()]

    def answer(self, handler):
        self.requests[handler.path] += 1
        answers = self.answers.get(handler.path, [not_found])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer(handler)
        else:
            send(handler, answer)

    def tar_requests(self, number):
        return self.requests[tar_path(number)]


def send(handler, body, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(length or len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def not_found(handler):
    handler.send_error(404)


@contextmanager
def running(server):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.answer(self)

    with serving(Handler) as server.url:
        yield server


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(transfers, "RETRY_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(Server()) as server:
        yield server


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("0-9", list(range(10))),
        ("3", [3]),
        ("0-2,7,10-12", [0, 1, 2, 7, 10, 11, 12]),
        (" 7, 499 ,0 - 1,7", [0, 1, 7, 499]),
        ("007", [7]),
    ],
)
def test_archive_numbers_are_understood(text, numbers):
    assert parse_archives(text) == numbers


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", ""),
        ("500", "500"),
        ("0-500", "0-500"),
        ("9-0", "9-0"),
        ("1,,2", ""),
        ("-1", "-1"),
        ("1-", "1-"),
        ("1-2-3", "1-2-3"),
        ("all", "all"),
        ("0,images_001.tar", "images_001.tar"),
        ("٣", "٣"),
        ("9" * 30, "9" * 30),
    ],
)
def test_other_numbers_are_refused(text, part):
    expected = f"--archives: expected numbers from 0 to 499 like 0-9 or 0-2,7, got {part!r} in "
    with pytest.raises(UserError, match=re.escape(f"{expected}{text!r}.")):
        parse_archives(text)


def test_a_program_whose_event_loop_runs_may_fetch(server, tmp_path):
    async def cell_of_a_notebook():
        return fetch_archives([3], tmp_path, server.url)

    (path,) = asyncio.run(cell_of_a_notebook())
    assert path.read_bytes() == tar_bytes(3)


def test_fetched_once_and_never_asked_for_again(server, tmp_path):
    folder = tmp_path / "new" / "archives"
    paths = fetch_archives([3, 0, 2], folder, server.url + "/")
    assert paths == [folder / f"images_{number:03}.tar" for number in (3, 0, 2)]
    assert [path.read_bytes() for path in paths] == [tar_bytes(3), tar_bytes(0), tar_bytes(2)]
    assert list(open_tars(folder)) == [f"{number:016x}" for number in (0, 2, 3)]
    asked = {path(number): 1 for number in (0, 2, 3) for path in (tar_path, md5_path)}
    assert server.requests == asked
    assert fetch_archives([3, 0, 2], folder, server.url) == paths
    assert server.requests == asked
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"images_{number:03}.tar" for number in (0, 2, 3)),
        "verified.sqlite",
    ]


@pytest.mark.parametrize("line", ["{}", "{}\n", "{} *images_000.tar\r\n", "  {}  x"])
def test_md5_lines_are_understood(line, server, tmp_path):
    (tmp_path / "images_000.tar").write_bytes(tar_bytes(0))
    server.answers[md5_path(0)] = [line.format(md5_of(tar_bytes(0)).upper()).encode()]
    fetch_archives([0], tmp_path, server.url)
    assert server.requests == {md5_path(0): 1}


@pytest.mark.parametrize("text", ["", "<html>Sign in</html>", "d41d8cd98f00b204e9800998ecf8427"])
def test_what_is_no_md5_is_shown(text, server, tmp_path):
    server.answers[md5_path(0)] = [text.encode()]
    found = f"{server.url}{md5_path(0)}: expected an md5 of 32 digits, got {text!r}."
    with pytest.raises(UserError, match=re.escape(found)):
        fetch_archives([0], tmp_path, server.url)


def test_a_file_from_elsewhere_is_checked_and_kept(server, tmp_path):
    path = tmp_path / "images_001.tar"
    path.write_bytes(tar_bytes(1))
    inode = path.stat().st_ino
    assert fetch_archives([1], tmp_path, server.url) == [path]
    assert path.stat().st_ino == inode
    assert server.requests == {md5_path(1): 1}


def test_a_file_that_changed_is_checked_again(server, tmp_path):
    path = tmp_path / "images_000.tar"
    path.write_bytes(tar_bytes(0))
    fetch_archives([0], tmp_path, server.url)
    path.write_bytes(tar_bytes(0)[:5000])  # not what its md5 was correct for
    fetch_archives([0], tmp_path, server.url)
    assert path.read_bytes() == tar_bytes(0)
    assert server.requests == {md5_path(0): 2, tar_path(0): 1}


def truncated(handler):
    send(handler, tar_bytes(0)[:5000], length=len(tar_bytes(0)))


def test_wrong_and_broken_archives_are_fetched_again_once(server, tmp_path):
    server.answers[tar_path(0)].insert(0, b"other bytes")
    server.answers[tar_path(1)].insert(0, truncated)
    paths = fetch_archives([0, 1, 2], tmp_path, server.url)
    assert [path.read_bytes() for path in paths] == [tar_bytes(0), tar_bytes(1), tar_bytes(2)]
    assert [server.tar_requests(number) for number in range(3)] == [2, 2, 1]


def test_what_is_wrong_twice_is_named_and_does_not_stay(server, tmp_path):
    md5, md5_line = md5_of(tar_bytes(0)), server.answers[md5_path(0)]
    server.answers[md5_path(0)] = [b"0" * 32]
    server.answers[tar_path(1)] = [b"other bytes"]
    server.answers[tar_path(2)] = [truncated]
    with pytest.raises(UserError) as error:
        fetch_archives(range(4), tmp_path, server.url)
    *problems, first, last = str(error.value).splitlines()
    assert sorted(problems)[:2] == [
        f"{server.url}/train/images_000.tar: expected md5 {'0' * 32}, got {md5}.",
        f"{server.url}/train/images_001.tar: expected md5 {md5_of(tar_bytes(1))}, got "
        f"{md5_of(b'other bytes')}.",
    ]
    assert "/train/images_002.tar: the transfer broke off (" in sorted(problems)[2]
    assert first == "That was the second try; archives without a problem are in place."
    assert last == (
        "Type the same command again later, which resumes, or leave 0,1,2 out of --archives."
    )
    assert [server.tar_requests(number) for number in range(4)] == [2, 2, 2, 1]
    left = ["images_003.tar", "verified.sqlite"]
    assert sorted(path.name for path in tmp_path.iterdir()) == left

    server.answers[md5_path(0)] = md5_line  # the server is repaired
    server.answers[tar_path(1)] = [tar_bytes(1)]
    server.answers[tar_path(2)] = [tar_bytes(2)]
    paths = fetch_archives(range(4), tmp_path, server.url)
    assert [path.read_bytes() for path in paths] == [tar_bytes(number) for number in range(4)]
    assert [server.tar_requests(number) for number in range(4)] == [3, 3, 3, 1]


@pytest.mark.parametrize("missing", [md5_path(2), tar_path(2)])
def test_a_missing_archive_is_an_error_that_names_the_address(missing, server, tmp_path):
    server.answers[missing] = [not_found]
    found = f"Can't fetch {re.escape(server.url + missing)}: .*404.*--tars DIR"
    with pytest.raises(UserError, match=re.compile(found, re.DOTALL)):
        fetch_archives([2], tmp_path, server.url)
    assert server.requests[missing] == 1


def test_a_server_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    found = (
        rf"Can't fetch {url}{md5_path(0)}: .*Connection refused.*\nCheck the network.*--tars DIR"
    )
    with pytest.raises(UserError, match=found):
        fetch_archives([0], tmp_path, url)


def test_a_busy_server_is_asked_again(server, tmp_path):
    for path in (md5_path(0), tar_path(0)):
        server.answers[path][:0] = [
            lambda handler: handler.send_error(503),
            lambda handler: handler.send_error(429),
        ]
    fetch_archives([0], tmp_path, server.url)
    assert server.requests == {md5_path(0): 3, tar_path(0): 3}


@pytest.mark.parametrize("busy", [md5_path(0), tar_path(0)])
def test_a_server_that_stays_busy_is_named(busy, server, tmp_path):
    server.answers[busy] = [lambda handler: handler.send_error(503)]
    with pytest.raises(UserError, match=rf"^Can't fetch {server.url}{busy}: HTTP 503\.\nCheck"):
        fetch_archives([0], tmp_path, server.url)
    assert server.requests[busy] == transfers.RETRIES + 1


def test_archives_come_through_the_proxy_of_the_environment(server, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    for path in (md5_path(0), tar_path(0)):
        server.answers["http://archives.test" + path] = server.answers[path]
    fetch_archives([0], tmp_path, "http://archives.test")
    assert server.requests == {f"http://archives.test{p(0)}": 1 for p in (md5_path, tar_path)}


def test_an_md5_that_breaks_off_is_named(server, tmp_path):
    server.answers[md5_path(0)] = [lambda handler: send(handler, b"d41d8", length=40)]
    with pytest.raises(UserError, match=rf"^Can't fetch {server.url}{md5_path(0)}: the connection"):
        fetch_archives([0], tmp_path, server.url)


class Stalling:
    """Sends half of an archive and then nothing more; knows when the other side has hung up."""

    def __init__(self, number):
        self._data = tar_bytes(number)
        self.begun, self.hung_up = threading.Event(), threading.Event()

    def __call__(self, handler):
        send(handler, self._data[:5000], length=len(self._data))
        handler.wfile.flush()
        self.begun.set()
        handler.connection.settimeout(60)
        with suppress(ConnectionResetError):
            assert handler.connection.recv(1) == b""
        self.hung_up.set()


def test_a_stalled_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfers, "STALL_SECONDS", 0.5)
    server.answers[tar_path(0)] = [Stalling(0)]
    text = (
        r"images_000\.tar: the transfer broke off \(nothing came for 0\.5 s\)\.\nThat was the sec"
    )
    with pytest.raises(UserError, match=text):
        fetch_archives([0], tmp_path, server.url)
    assert server.tar_requests(0) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["verified.sqlite"]


FETCH = """
import sys
from pathlib import Path
from tfrecords.sources.archives import fetch_archives
from tfrecords.common.console import run_command

run_command(lambda: fetch_archives([0, 1], Path(sys.argv[1]), sys.argv[2]), "Resumes.")
"""


@contextmanager
def fetching(folder, url):
    """Another process that fetches archives 0 and 1."""
    command = [sys.executable, "-c", FETCH, str(folder), url]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_killed_command_resumes(server, tmp_path):
    stall = Stalling(1)
    server.answers[tar_path(1)].insert(0, stall)
    with fetching(tmp_path, server.url) as process:
        assert stall.begun.wait(30)
        wait_for(tmp_path / "images_000.tar")
        wait_for(tmp_path / ".images_001.tar.part")
        process.kill()
        process.communicate()
    assert stall.hung_up.wait(30)
    assert not (tmp_path / "images_001.tar").exists()
    paths = fetch_archives([0, 1], tmp_path, server.url)
    assert [path.read_bytes() for path in paths] == [tar_bytes(0), tar_bytes(1)]
    assert (server.tar_requests(0), server.tar_requests(1)) == (1, 2)
    assert list(tmp_path.glob(".*")) == []


def wait_for(path):
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never came")


def test_one_process_at_a_time_fetches_and_ends_with_ctrl_c(server, tmp_path):
    stall = Stalling(1)
    server.answers[tar_path(1)] = [stall]
    with fetching(tmp_path, server.url) as process:
        assert stall.begun.wait(30)
        with pytest.raises(UserError, match=f"Another process is fetching .* into {tmp_path}."):
            fetch_archives([0], tmp_path, server.url)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors.endswith("\nInterrupted. Resumes.\n")
    assert "Traceback" not in errors
    assert stall.hung_up.wait(30)
    assert list(tmp_path.glob(".*")) == []


def test_a_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"Can't write .*verified\.sqlite .* a folder we may write"):
        fetch_archives([0], tmp_path / "file" / "folder", server.url)


def test_a_damaged_ledger_is_named(server, tmp_path):
    (tmp_path / "verified.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(UserError, match=r"verified\.sqlite .*If the file is damaged, delete it"):
        fetch_archives([0], tmp_path, server.url)


def test_importing_starts_neither_tensorflow_nor_tfds(run_python):
    code = (
        "import sys, tfrecords.sources.archives, tfrecords.sources.tars\n"
        "print({'tensorflow', 'tensorflow_datasets', 'keras', 'aiohttp'} & set(sys.modules))"
    )
    assert run_python("-c", code).stdout == "set()\n"
