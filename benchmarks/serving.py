"""The API under load, beside the bare forward pass: python benchmarks/serving.py RUN

The server runs in a process of its own, as users start it; clients send photos of the run's test
records over loopback. Bare forward passes and requests alternate, so that other load on the machine
disturbs both alike. Prints requests/s and the 95th percentile of the time to an answer, for one
client and for many, and what they are of the bare pass.
"""

import argparse
import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from measuring import random_photos, timed
from show import print_context

from tfrecords.common.console import start_tensorflow

BATCH = 32  # photos of the bare pass that throughput is compared with


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run whose records are there")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=320, help="of all clients, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print_context()
    with serving(args.run) as server:
        start_tensorflow()
        measure(args, server)


@contextmanager
def serving(run):
    """Starts the command; its first line ends with the address, once the model is loaded."""
    command = [sys.executable, "-m", "glr_keras.app", run, "--port", "0", "--no-photos"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process.stdout
        finally:
            process.terminate()


def measure(args, server):
    import numpy as np

    from glr_keras.data.records import raw_records
    from glr_keras.inference.loading import load_recognizer, records_of

    rows = raw_records(records_of(args.run), "test").take(args.requests).as_numpy_iterator()
    photos = [row["image"] for row in rows]
    recognizer = load_recognizer(args.run)
    views = random_photos(BATCH, *recognizer.backbone.input_shape[1:])

    def answer_one():
        recognizer.predict_on_batch(views[:1])

    def answer_batch():
        recognizer.predict_on_batch(views)

    answer_batch()
    answer_one()
    address = server.readline().split()[-1]
    asyncio.run(send(address, photos[:BATCH], 4))
    fractions, extra = [], []
    for turn in range(args.rounds):
        alone = [timed(answer_one) for _ in range(20)]
        single = asyncio.run(send(address, photos[:20], 1))
        bare = BATCH / np.median([timed(answer_batch) for _ in range(4)])
        started = time.perf_counter()
        together = asyncio.run(send(address, photos, args.clients))
        served = len(photos) / (time.perf_counter() - started)
        fractions.append(served / bare)
        extra.append(1000 * (np.median(single) - np.median(alone)))
        print(
            f"round {turn + 1}: one client {ms(single, 50)} ms (95 % within {ms(single, 95)}), "
            f"bare pass of one {ms(alone, 50)} ms; {args.clients} clients {served:.1f} requests/s "
            f"(95 % within {ms(together, 95)} ms), bare pass {bare:.1f} photos/s"
        )
    print(
        f"{recognizer.backbone.name}, {args.clients} clients: the API reaches "
        f"{np.median(fractions):.2f} of the bare forward pass in batches of {BATCH} (median of "
        f"{args.rounds}; {min(fractions):.2f} to {max(fractions):.2f}); alone, an answer takes "
        f"{np.median(extra):.0f} ms ({min(extra):.0f} to {max(extra):.0f}) more than a bare pass."
    )


def ms(times, percentile):
    import numpy as np

    return round(1000 * float(np.percentile(times, percentile)))


async def send(address, photos, clients):
    """Sends all photos from some clients; returns the seconds to each answer."""
    from aiohttp import ClientSession

    waiting, times = iter(photos), []

    async def client(session):
        for photo in waiting:
            started = time.perf_counter()
            async with session.post(f"{address}predict", data=photo) as response:
                response.raise_for_status()
                await response.read()
            times.append(time.perf_counter() - started)

    async with ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return times


if __name__ == "__main__":
    main()
