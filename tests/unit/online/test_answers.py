"""Passes that several inputs shared count once in the time of an answer."""

import numpy as np
import pytest

from actors.online.answers import sum_up
from actors.online.batcher import Pass, Row


def row(queue_s, shared):
    return Row(np.zeros(1, np.float32), queue_s, shared)


def test_time_in_a_shared_pass_counts_once_and_the_longest_wait_for_it():
    first, second = Pass(4, 0.5), Pass(4, 0.5)
    timing = sum_up([row(0.1, first), row(0.2, first), row(0.3, second)], 0.7)
    assert timing.queue_s == pytest.approx(0.5)
    assert timing.forward_s == pytest.approx(1.0)
    assert (timing.preprocess_s, timing.batch_sizes) == (0.7, (4, 4))


def test_nothing_took_no_time():
    timing = sum_up([], 0.0)
    assert (timing.queue_s, timing.forward_s, timing.batch_sizes) == (0, 0, ())
