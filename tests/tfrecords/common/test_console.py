"""How commands end: one message and an exit code, or the traceback of a real bug."""

import errno
import os
import re
import shlex
import subprocess
import sys

import pytest

from tfrecords.common.console import UserError, run_command, stderr_held_back


def raising(error):
    def main():
        raise error

    return main


def test_a_command_that_works_prints_nothing(capfd):
    run_command(lambda: None)
    assert capfd.readouterr() == ("", "")


def test_user_error_is_one_message_and_exit_code_2(capfd):
    with pytest.raises(SystemExit) as exit_info:
        run_command(raising(UserError("No folder x. Name another.")))
    assert exit_info.value.code == 2
    assert capfd.readouterr() == ("", "\nerror: No folder x. Name another.\n")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_message_and_exit_code_2(number, capfd):
    with pytest.raises(SystemExit) as exit_info:
        run_command(raising(OSError(number, os.strerror(number), "data/shard")))
    assert exit_info.value.code == 2
    assert capfd.readouterr().err == (
        "\nerror: The disk is full. Free some space and type the same command again.\n"
        f"({OSError(number, os.strerror(number), 'data/shard')})\n"
    )


def test_full_disk_without_a_file_name_still_has_a_message(capfd):
    with pytest.raises(SystemExit):
        run_command(raising(OSError(errno.ENOSPC, "No space left on device")))
    assert "The disk is full." in capfd.readouterr().err


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ENOTDIR]
)
def test_a_path_that_can_not_be_used_is_one_message(number, capfd):
    with pytest.raises(SystemExit) as exit_info:
        run_command(raising(OSError(number, os.strerror(number), "my runs/a")))
    assert exit_info.value.code == 2
    assert capfd.readouterr().err == (
        f"\nerror: 'my runs/a' can't be used: {os.strerror(number)}. Name another path, or change "
        "what is there.\n"
    )


@pytest.mark.parametrize("error", [OSError(errno.EIO, "bad disk"), ValueError("a bug")])
def test_other_errors_are_not_swallowed(error):
    with pytest.raises(type(error), match=re.escape(str(error))):
        run_command(raising(error))


def test_interrupt_is_one_message_and_exit_code_130(capfd):
    with pytest.raises(SystemExit) as exit_info:
        run_command(raising(KeyboardInterrupt()))
    assert exit_info.value.code == 130
    assert capfd.readouterr() == ("", "\nInterrupted. The same command starts again.\n")


def test_a_closed_pipe_ends_quietly(monkeypatch, capfd):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as closed:
        monkeypatch.setattr(sys, "stdout", closed)
        with pytest.raises(SystemExit) as exit_info:
            run_command(lambda: print("a row"))  # held until the end
    assert exit_info.value.code == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("closed", [">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere(closed, tmp_path):
    script = """
import sys
from pathlib import Path
from tfrecords.common.console import run_command, stderr_held_back

def main():
    out = open(sys.argv[1], "w")
    with stderr_held_back():
        print("text")
        print("text", file=sys.stderr)
    out.write("data")

run_command(main)
"""
    target = shlex.quote(str(tmp_path / "file"))
    line = f"{shlex.join([sys.executable, '-c', script])} {target} {closed}"
    assert subprocess.run(["bash", "-c", line]).returncode == 0
    assert (tmp_path / "file").read_text() == "data"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_name_can_be_printed_whatever_the_terminal(encoding):
    script = "from tfrecords.common.console import run_command\nrun_command(lambda: print(NAME))"
    script = f"NAME = 'Ω\\udcff'\n{script}"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=True,
    )
    assert done.stdout == "Ω\n".encode().replace(b"\n", b"\xff\n")


def test_start_hides_what_libraries_say(capfd):
    with stderr_held_back():
        os.write(2, b"no GPU here\n")
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "heard again\n"


def test_start_shows_what_it_hid_when_it_fails(capfd):
    def failing_start():
        with stderr_held_back():
            os.write(2, b"why it failed\n")
            raise ImportError("broken")

    with pytest.raises(ImportError, match="broken"):
        failing_start()
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "why it failed\nheard again\n"


def test_start_stays_quiet_when_it_is_interrupted(capfd):
    def interrupted_start():
        with stderr_held_back():
            os.write(2, b"threads complain\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_start()
    os.write(2, b"heard again\n")
    assert capfd.readouterr().err == "heard again\n"


@pytest.mark.parametrize(("before", "after"), [(None, "3"), ("0", "0")])
def test_start_leaves_a_log_level_that_the_user_set(before, after, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "restored after the test")
    if before is None:
        monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    else:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", before)
    with stderr_held_back():
        pass
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == after
