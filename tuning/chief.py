"""The chief of a search with several workers: answers them over KerasTuner's own protocol."""

import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer, exit_chief

from tfrecords.common.console import UserError

POLL = 0.2  # seconds


class Servicer(OracleServicer):
    """KerasTuner's, and it notes what goes wrong: gRPC would tell the worker only."""

    error: Exception | None = None

    def CreateTrial(self, request, context):  # noqa: N802, the protocol's name
        return self._noting(super().CreateTrial, request, context)

    def EndTrial(self, request, context):  # noqa: N802
        return self._noting(super().EndTrial, request, context)

    def _noting(self, answer, request, context):
        try:
            return answer(request, context)
        except Exception as error:
            self.error = error
            raise


def serve(oracle, address: str) -> None:
    """Answers workers until each has been told that no trial is left.

    KerasTuner's own loop looks every 20 seconds whether that is so, and never whether it failed.

    Args:
        oracle: From `oracles.make_oracle`.
        address: "HOST:PORT" to listen at.

    Raises:
        UserError: the address can't be had.
    """
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    servicer = Servicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise UserError(
            f"The chief can't listen at {address}. Is KERASTUNER_ORACLE_IP this machine's, and "
            "KERASTUNER_ORACLE_PORT free?"
        ) from error
    server.start()
    try:
        while not (servicer.stop_triggered and exit_chief(oracle)):
            if servicer.error:
                raise servicer.error
            time.sleep(POLL)
    finally:
        server.stop(grace=1).wait()
