"""Computes batches of photos while later ones are read. No TensorFlow here."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

IN_FLIGHT = 3  # batches: while the model computes one, the next is decoded


def predict_batches(
    predict_batch: Callable[[list], list], photos: Iterable, batch_size: int = 32
) -> Generator[tuple[list, list], None, None]:
    """Yields batches of photos and their outcomes, in order; a few are computed at once.

    Args:
        predict_batch: From a list of photos to a list of outcomes; called in threads.
        photos: Read as far as is needed, so there may be any number.
        batch_size: Int; the last batch may be smaller.
    """
    photos = iter(photos)
    pool = ThreadPoolExecutor(IN_FLIGHT)
    in_flight: deque[tuple[list, Future]] = deque()
    try:
        while batch := list(islice(photos, batch_size)):
            in_flight.append((batch, pool.submit(predict_batch, batch)))
            if len(in_flight) == IN_FLIGHT:
                batch, outcomes = in_flight.popleft()
                yield batch, outcomes.result()
        for batch, outcomes in in_flight:
            yield batch, outcomes.result()
    finally:
        pool.shutdown(cancel_futures=True)
