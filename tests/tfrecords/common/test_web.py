"""What requests over the network share."""

import asyncio
import signal
import threading

import pytest

from tfrecords.common.web import run_event_loop


def test_an_interrupt_in_a_notebook_cancels_what_runs():
    started, cancelled = threading.Event(), threading.Event()

    async def download():
        started.set()
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def cell_of_a_notebook():
        run_event_loop(download())

    def interrupt():
        started.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    loop = asyncio.new_event_loop()  # asyncio.run would have a handler of its own
    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell_of_a_notebook())
    loop.close()
    assert cancelled.wait(60)
