"""Where the server listens, and what its command says when it can't."""

import logging
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from commands import command_runner
from paths import REPOSITORY
from serving_app import ask, running

from glr_keras import app
from glr_keras.serving.bodies import read_photo_body
from glr_keras.serving.protection import protection
from glr_keras.serving.server import _is_our_fault, bind
from tfrecords.common.console import UserError


@pytest.fixture
def run_app(monkeypatch, capfd):
    return command_runner("app", app.main, monkeypatch, capfd)


def test_a_port_in_use_is_one_message(small_run, run_app):
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"in use.*Name another one: --port {port + 1}"):
            run_app(small_run, "--port", port)


def test_a_host_that_is_not_ours_is_one_message():
    with pytest.raises(UserError, match=r"--host 192\.0\.2\.1 --port 0: .*this machine"):
        bind("192.0.2.1", 0)
    with pytest.raises(UserError, match=r"--host a\.\.b: .*such as 127"):
        bind("a..b", 0)


def test_no_run_is_one_message(tmp_path, run_app):
    with pytest.raises(UserError, match="does not exist"):
        run_app(tmp_path / "none")


@pytest.mark.parametrize(
    "flags", [("--port", "70000"), ("--max-mb", "0"), ("--max-mb", "1000"), ("--max-mb", "nan")]
)
def test_wrong_flags_are_refused(flags, tmp_path, run_app):
    code, _, err = run_app(tmp_path, *flags)
    assert code == 2
    assert f"{flags[0]} must be" in err


def test_what_clients_do_wrong_leaves_no_traceback(caplog, monkeypatch):
    logger = logging.getLogger("aiohttp.server")
    monkeypatch.setattr(logger, "filters", [_is_our_fault])

    async def read(request):
        return web.Response(body=await read_photo_body(request, 1000))

    application = web.Application(middlewares=[protection((), ())])
    application.router.add_post("/", read)
    with running(application) as address:
        assert ask(address, "/", b"no gzip", Content_Encoding="gzip")[0] == 400
        with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port)) as gone:
            gone.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
            time.sleep(0.2)
        assert ask(address, "/", b"a photo")[2] == b"a photo"
        time.sleep(0.2)  # until the server has seen that one is gone
    assert "Traceback" not in caplog.text


@pytest.mark.slow
def test_a_moved_run_is_served_without_its_photos(small_run, tmp_path):
    """The whole command: it warns of --host 0.0.0.0, answers, and ends in peace with Ctrl-C."""
    moved = tmp_path / "moved"
    shutil.copytree(small_run, moved)
    config = (moved / "config.json").read_text()
    (moved / "config.json").write_text(config.replace('"data_dir": "', '"data_dir": "/nowhere'))
    command = [sys.executable, "-m", "glr_keras.app", moved, "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        port = line.rstrip("/\n").rpartition(":")[2]
        model = ask(f"http://127.0.0.1:{port}", "/model")[2]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out.splitlines()[-1]) == (0, "Stopped.")
    assert "warning: --host 0.0.0.0: anyone in your network can use this server" in err
    assert "warning: No landmark records in /nowhere" in err
    assert model["photos_note"].startswith("The records of this run can't be read here")
    assert model["examples"] == []
