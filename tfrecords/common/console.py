"""What all commands share: how they fail, are interrupted, and start TensorFlow."""

import errno
import io
import os
import shlex
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import wrapt

EXIT_USAGE = 2  # what argparse itself exits with
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_CLOSED_PIPE = 141  # 128 + SIGPIPE
# What the system says of a path that a flag has named, rather than of a bug.
UNUSABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.EEXIST, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOTDIR),
)
RESTART = "The same command starts again."


class UserError(ValueError):
    """A mistake of the user: the text says what was expected, what came, and what to type."""

    exit_code = EXIT_USAGE


def run_command(main: Callable[[], None], after_interrupt: str = RESTART) -> None:
    """Runs `main`; a `UserError`, an unusable path, a full disk or Ctrl-C ends it with one message.

    A reader of standard output that has seen enough (`| head`) ends it without a message.

    Args:
        main: What the command does.
        after_interrupt: What the user can rely on after Ctrl-C.
    """
    open_standard_streams()
    try:
        try:
            main()
        finally:
            sys.stdout.flush()  # or a closed pipe is found only where nothing catches it
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still held
        sys.exit(EXIT_CLOSED_PIPE)
    except UserError as error:
        exit_with(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        exit_with(f"Interrupted. {after_interrupt}", EXIT_INTERRUPTED)
    except Exception as error:
        if _is_full_disk(error):
            exit_with(
                "error: The disk is full. Free some space and type the same command again.\n"
                f"({error})",
                EXIT_USAGE,
            )
        if isinstance(error, OSError) and error.errno in UNUSABLE and error.filename is not None:
            exit_with(
                f"error: {error.filename!r} can't be used: {error.strerror}. Name another path, or "
                "change what is there.",
                EXIT_USAGE,
            )
        raise


def exit_with(message: str, code: int) -> None:
    """Prints `message` on standard error and exits with `code`."""
    print(f"\n{message}", file=sys.stderr)
    sys.exit(code)


def command_line(module: str, *arguments: str | Path) -> str:
    """Returns what to type to run a module, quoted for a shell."""
    return shlex.join(["python", "-m", module, *map(str, arguments)])


def _is_full_disk(error):
    """Whether an error, or one it came from, is a full disk: libraries wrap theirs."""
    while error is not None:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            return True
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def open_standard_streams() -> None:
    """Makes standard output UTF-8 that paths of any bytes can be printed on.

    Streams that are closed (`>&-`, some schedulers) lead nowhere; else libraries fail that write to
    them, and a file that is opened later would get the messages.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115  # until the end
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")


def start_tensorflow() -> None:
    """Imports TensorFlow and looks for GPUs without what it prints of missing ones.

    Its memory pool for the CPU is switched on first: without it each large array is fetched from
    the system anew, and a step of a 4096-unit layer spends half of its time on that.

    Keras, once imported, has the settings that this project is written for: those of another
    project in `keras.json` or `KERAS_BACKEND` do not count in our commands.
    """
    os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        note = "is ignored: this command computes with TensorFlow."
        print(f"KERAS_BACKEND={backend} {note}", file=sys.stderr)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    wrapt.register_post_import_hook(_configure_keras, "keras")
    with stderr_held_back():
        import tensorflow as tf

        tf.config.list_physical_devices()
        tf.get_logger().setLevel("ERROR")  # its advice on tf.function is for programmers


def _configure_keras(keras):
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


@contextmanager
def stderr_held_back():
    """Drops what the block writes to standard error; if it fails, all of that is printed.

    Not after Ctrl-C: what libraries print then is of no use.

    TensorFlow's lines come from C++ before any log level is read, so the file descriptor is what
    must be turned away.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what is an error to us raises one
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except Exception:
            held_back.seek(0)
            os.write(saved, held_back.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
