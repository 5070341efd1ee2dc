"""The chief of a search with several workers, and how a worker finds it: KerasTuner's protocol."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_client
from keras_tuner.src.distribute.oracle_chief import OracleServicer

from tfrecords.common.console import UserError
from tuning.store import SearchDir

POLL_SECONDS = 0.2
WAIT_SECONDS = 1  # between two connections to a chief that computes features
CHIEF_SECONDS = 600  # that a worker waits for a chief which does not answer


class Servicer(OracleServicer):
    """KerasTuner's, which waits for its oracle, and stores what goes wrong.

    A chief answers from its start, so that workers know that there is one while it computes
    features. An error would be sent to the worker only.
    """

    error: Exception | None = None

    def __init__(self):
        self._has_oracle = threading.Event()
        super().__init__(None)

    @property
    def oracle(self):
        self._has_oracle.wait()
        return self._oracle

    @oracle.setter
    def oracle(self, oracle):
        self._oracle = oracle
        if oracle is not None:
            self._has_oracle.set()

    def release(self):
        """Lets requests fail that wait for an oracle."""
        self._has_oracle.set()

    def CreateTrial(self, request, context):  # noqa: N802, the protocol's name
        return self._storing_errors(super().CreateTrial, request, context)

    def EndTrial(self, request, context):  # noqa: N802
        return self._storing_errors(super().EndTrial, request, context)

    def _storing_errors(self, answer, request, context):
        try:
            return answer(request, context)
        except Exception as error:
            self.error = error
            raise


class OracleServer:
    """Listens for workers as soon as it is made; answers them once it has an oracle.

    Args:
        address: "HOST:PORT" to listen at.

    Raises:
        UserError: the address can't be had.
    """

    def __init__(self, address: str):
        self._servicer = Servicer()
        # Without the option a second chief could listen at the same port, and get some requests.
        options = [("grpc.so_reuseport", 0)]
        self._server = grpc.server(ThreadPoolExecutor(max_workers=1), options=options)
        protos.get_service_grpc().add_OracleServicer_to_server(self._servicer, self._server)
        try:
            self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise UserError(
                f"The chief can't listen at {address}. Is KERASTUNER_ORACLE_IP this machine's, and "
                "KERASTUNER_ORACLE_PORT free?"
            ) from error
        self._server.start()

    def answer_with(self, oracle) -> None:
        """Begins to answer with an oracle from `oracles.make_oracle`."""
        self._servicer.oracle = oracle

    def wait_for_workers(self) -> None:
        """Waits until each worker has been told that no trial is left.

        KerasTuner's own loop looks every 20 seconds whether that is so, and never whether it
        failed.
        """
        servicer, oracle = self._servicer, self._servicer.oracle
        # The oracle's own lock is not asked for: an error may have left it locked.
        while not servicer.stop_triggered or oracle.ongoing_trials or oracle.tuner_ids:
            if servicer.error:
                raise servicer.error
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        self._servicer.release()
        self._server.stop(grace=1).wait()


def wait_for_chief(search: SearchDir, address: str, seconds: float = CHIEF_SECONDS) -> None:
    """Waits until the chief has computed the features of `search`.

    Args:
        search: SearchDir.
        address: "HOST:PORT" of the chief.
        seconds: How long it may not answer.

    Raises:
        UserError: it does not.
    """
    while not search.plan.exists():
        with grpc.insecure_channel(address) as channel:  # a new one notices a machine that is gone
            try:
                grpc.channel_ready_future(channel).result(seconds)
            except grpc.FutureTimeoutError as error:
                raise _no_chief(address) from error
        time.sleep(WAIT_SECONDS)


@contextmanager
def chief_expected(address: str, seconds: float = CHIEF_SECONDS):
    """Ends what the block asks of a chief with a `UserError` when that does not answer any more."""
    oracle_client.TIMEOUT = seconds  # KerasTuner's own is an hour
    try:
        yield
    except grpc.RpcError as error:
        raise _no_chief(address) from error


def _no_chief(address):
    return UserError(
        f"No chief of the search answers at {address}. Start it with the same command and "
        "KERASTUNER_TUNER_ID=chief, and then this worker again: the search resumes."
    )
