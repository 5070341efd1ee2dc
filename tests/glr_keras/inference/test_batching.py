"""Photos are read while earlier ones are computed, in order and not too many."""

from itertools import count

import pytest

from glr_keras.inference.batching import IN_FLIGHT, predict_batches


def test_batches_come_in_order_and_only_a_few_are_read_ahead():
    taken = []

    def numbers():
        for number in count():
            taken.append(number)
            yield number

    batches = predict_batches(lambda batch: [-number for number in batch], numbers(), 4)
    seen = [next(batches) for _ in range(50)]
    assert [number for batch, _ in seen for number in batch] == list(range(200))
    assert all(outcomes == [-number for number in batch] for batch, outcomes in seen)
    assert len(taken) <= 200 + 4 * IN_FLIGHT
    batches.close()
    assert list(predict_batches(list, [])) == []


def test_a_failure_in_a_batch_is_raised():
    def fail(batch):
        raise RuntimeError("the model is gone")

    with pytest.raises(RuntimeError, match="the model is gone"):
        next(predict_batches(fail, range(9), 2))
