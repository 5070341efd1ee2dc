"""Layers whose initial weights come from a seed."""

import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded_layers(seed: int) -> Iterator[None]:
    """Makes the initial weights of layers that are built inside depend on `seed` only.

    An initializer without a seed of its own draws one from Python's `random`, and all its values
    from that. `keras.utils.set_random_seed` would also reseed NumPy's and TensorFlow's generators,
    and all three are the program's: Python's has its state back after the block.

    Args:
        seed: Int.
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
