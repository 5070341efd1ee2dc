"""Fetches large files through TFDS's download manager, in processes that can be stopped."""

import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tfrecords.common.console import UserError

SIMULTANEOUS = 4  # downloads; one connection rarely fills a line (a guess)
STALL_SECONDS = 60  # without a byte from any download; TFDS itself would wait for ever
POLL_SECONDS = 0.5
INSTEAD = (
    "Check the network, then type the same command again: it goes on. Archives that were "
    "downloaded elsewhere are read with --tars DIR in place of --archives."
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What came of a URL: a complete file, or else a problem that another try may mend."""

    url: str
    path: Path | None
    problem: str = ""


class Transfers:
    """Downloads into one folder, a few at a time.

    TFDS keeps complete files, so that a killed command goes on with the others; what is incomplete
    it fetches anew. It has no timeout, and its threads go on after Ctrl-C: hence the processes,
    which end with the `with` block.
    """

    def __init__(self, staging: Path, at_once: int):
        """Takes the folder for TFDS to work in, and how many files are wanted at once."""
        self._staging = staging
        self._processes = min(SIMULTANEOUS, at_once)
        self._taken = 0  # bytes of files that are no longer there

    def __enter__(self):
        _clear(self._staging)
        context = multiprocessing.get_context("spawn")
        self._pool = context.Pool(self._processes, _start_worker)
        self._bar = tqdm(desc="Fetching archives", unit="B", unit_scale=True)
        return self

    def __exit__(self, *_):
        self._bar.close()
        self._pool.terminate()
        self._pool.join()
        _clear(self._staging)

    def fetch(self, urls: Sequence[str]) -> Iterator[Transfer]:
        """Yields each file once it is complete, with a progress bar.

        Whoever takes a file away calls `forget`.

        Raises:
            UserError: the server does not have a file, or no byte comes any more.
        """
        results = self._pool.imap_unordered(_fetch, [(url, self._staging) for url in urls])
        self._bar.set_postfix_str(f"0 of {len(urls)}")
        for done in range(1, len(urls) + 1):
            transfer = self._wait(results, urls[0])
            self._show_bytes()
            size = transfer.path.stat().st_size if transfer.path else 0
            yield transfer
            self._taken += size
            self._bar.set_postfix_str(f"{done} of {len(urls)}")

    def _wait(self, results, url):
        """Returns the next result; gives up when no byte comes any more."""
        last_byte = time.monotonic()
        while True:
            with suppress(multiprocessing.TimeoutError):
                return results.next(timeout=POLL_SECONDS)
            if self._show_bytes():
                last_byte = time.monotonic()
            elif time.monotonic() - last_byte > STALL_SECONDS:
                raise unreachable(url, f"no byte came for {STALL_SECONDS} seconds.")

    def _show_bytes(self):
        """Moves the bar on; returns whether anything came."""
        new = self._taken + count_bytes(self._staging) - self._bar.n
        self._bar.update(max(0, new))
        return new > 0


def forget(path: Path) -> None:
    """Deletes a file that TFDS keeps, and the note beside it, which bars a file of other bytes."""
    path.unlink(missing_ok=True)
    Path(f"{path}.INFO").unlink(missing_ok=True)


def count_bytes(folder: Path) -> int:
    """Returns how many bytes the files below `folder` have."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # TFDS renames what is complete
                total += os.path.getsize(os.path.join(parent, name))
    return total


def unreachable(url: str, why: object) -> UserError:
    """Makes the error for a server that does not give what it should have."""
    return UserError(f"Can't fetch {url}: {why}\n{INSTEAD}")


def _clear(staging):
    """Deletes what a killed process left of downloads; complete ones stay, to be used."""
    for path in staging.glob("*.tmp.*"):
        shutil.rmtree(path)
    for note in staging.glob("*.INFO"):
        if not note.with_suffix("").exists():
            note.unlink()
    with suppress(OSError):  # not there, or not empty
        (staging / "extracted").rmdir()
        staging.rmdir()


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _fetch(job) -> Transfer:
    """Runs in a worker process. TFDS does not load TensorFlow for this."""
    import requests
    import tensorflow_datasets as tfds

    url, staging = job
    tfds.disable_progress_bar()
    manager = tfds.download.DownloadManager(download_dir=staging)
    try:
        return Transfer(url, Path(manager.download(url)))
    except tfds.download.DownloadError as error:
        raise unreachable(url, error) from error
    except requests.RequestException as error:
        return Transfer(url, None, f"{url}: the transfer broke off ({error}).")
