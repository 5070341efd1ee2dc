"""Several workers on one machine: starts a chief and N workers, forwards what they print."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tfrecords.common.console import EXIT_USAGE
from tuning.store import SearchDir

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 0.2  # between two checks of the processes
MAX_DEATHS = 5  # of workers, in a row, without a trial ended in between
STOP_SECONDS = 10  # that processes have to end by themselves


@dataclass
class ProcessGroup:
    """The processes of a search.

    Attributes:
        arguments: Of the command that each of them runs.
        port: At which the chief listens.
        processes: Name -> process: "chief", "worker1", ...
    """

    arguments: Sequence[str]
    port: int
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)
    readers: list[threading.Thread] = field(default_factory=list)

    def start(self, name: str) -> None:
        """Starts a process in the role `name`, by KerasTuner's environment variables."""
        environment = os.environ | {
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": LOOPBACK,
            "KERASTUNER_ORACLE_PORT": str(self.port),
            "PYTHONUNBUFFERED": "1",
            "TQDM_MININTERVAL": "10",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tuning.search", *self.arguments, "--with-launcher"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C comes here only
        )
        self.processes[name] = process
        prefix = "" if name == "chief" else f"  {name} | "
        reader = threading.Thread(target=_forward, args=(process.stdout, prefix), daemon=True)
        reader.start()
        self.readers.append(reader)

    def stop(self) -> None:
        """Ends what still runs."""
        running = [one for one in self.processes.values() if one.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in self.readers:
            reader.join(timeout=STOP_SECONDS)


def launch(arguments: Sequence[str], num_workers: int, search: SearchDir) -> int:
    """Runs a search with a chief and `num_workers` workers.

    A worker that dies is started again under its name, so that the chief gives it the same trial.

    Args:
        arguments: What was typed after `python -m tuning.search`.
        num_workers: Int, above 0.
        search: SearchDir.

    Returns:
        The exit code: the chief's, or that of a worker that can't work.
    """
    group = ProcessGroup(arguments, find_port())
    names = [f"worker{number}" for number in range(1, num_workers + 1)]
    try:
        for name in ("chief", *names):
            group.start(name)
        return _watch(group, names, search)
    finally:
        group.stop()


def end_with_launcher() -> None:
    """Ends this process when the launcher does, however that ends: its pipe breaks then.

    SIGTERM, with which a launcher stops it, ends it as an exit, so that a trial at work does not
    count as one that killed its process.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    def watch():
        while os.read(0, 1):  # not sys.stdin, whose lock would make an ordinary exit abort
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP_SECONDS)
        os._exit(128 + signal.SIGTERM)  # something did not let it exit

    threading.Thread(target=watch, daemon=True).start()


def find_port() -> int:
    """Returns a port of this machine at which nobody listens."""
    with socket.socket() as found:
        found.bind((LOOPBACK, 0))
        return found.getsockname()[1]


def _watch(group, names, search):
    deaths, ended = 0, _count_ended(search)
    while True:
        time.sleep(POLL_SECONDS)
        chief = group.processes["chief"].poll()
        if chief is not None:
            return _explain_end(chief)
        for name in names:
            code = group.processes[name].poll()
            if code in (None, 0):
                continue
            if code == EXIT_USAGE:  # it has said why, and would say so again
                return code
            if _count_ended(search) > ended:
                deaths, ended = 0, _count_ended(search)
            deaths += 1
            if deaths > MAX_DEATHS:
                print(f"\n{name} ended again (code {code}), so the search stops.", file=sys.stderr)
                return 1
            print(f"  {name} ended (code {code}); starting it again.", flush=True)
            group.start(name)


def _explain_end(code):
    """Returns an exit code for that of the chief, and says so where something killed it."""
    if code >= 0:
        return code
    print(
        f"\nSignal {-code} ended the chief, so the search stops. The same command resumes it.",
        file=sys.stderr,
    )
    return 128 - code


def _count_ended(search):
    return sum(1 for _ in search.trials.glob("trial_*/result.json"))


def _forward(stream, prefix):
    for line in stream:
        if line.strip():
            print(prefix + line, end="", flush=True)
