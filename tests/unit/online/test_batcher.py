"""Forward passes take whatever waits, of one version and kind, the oldest first; nobody's failure or delay is another's."""

import threading
import time

import numpy as np
import pytest
import torch

from actors.core.errors import DeadlineExceededError, PredictionError
from actors.online.batcher import Batcher


class Network:
    """Answers with what it is given; its passes wait at a gate while that is shut."""

    def __init__(self, name="a", passes=None) -> None:
        self.name = name
        self.passes = [] if passes is None else passes
        self.entered = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()
        self.threads = set()

    def forward(self, inputs):
        self.passes.append((self.name, [int(each.reshape(-1)[0]) for each in inputs]))
        self.threads.add((threading.current_thread().name, torch.get_num_threads()))
        self.entered.release()
        assert self.gate.wait(60)
        if any(each.reshape(-1)[0] == 66 for each in inputs):
            raise ValueError("sixty-six")
        return np.stack([np.asarray(each, np.float32).reshape(-1) for each in inputs])

    def hold_up(self, batcher):
        """Begin a pass that does not end before the gate opens."""
        self.gate.clear()
        (answer,) = batcher.submit(self, pixels(0))
        assert self.entered.acquire(timeout=60)
        return answer


def pixels(*values):
    return [np.array([value], np.uint8) for value in values]


@pytest.fixture
def network():
    made = Network()
    yield made
    made.gate.set()


@pytest.fixture
def batcher(network):
    made = Batcher(threads=1, max_batch=3)
    yield made
    network.gate.set()
    made.close()


def test_a_lone_input_is_computed_at_once_in_a_thread_of_its_own(batcher, network):
    (answer,) = batcher.submit(network, pixels(7))
    row = answer.result(60)
    assert (row.probabilities.tolist(), row.shared.size) == ([7.0], 1)
    assert network.threads == {("forward", 1)}


def test_what_gathers_during_a_pass_is_the_next_batch_up_to_the_most(batcher, network):
    network.hold_up(batcher)
    answers = [batcher.submit(network, pixels(value))[0] for value in range(1, 6)]
    network.gate.set()
    rows = [answer.result(60) for answer in answers]
    assert [row.probabilities[0] for row in rows] == [1, 2, 3, 4, 5]
    assert network.passes == [("a", [0]), ("a", [1, 2, 3]), ("a", [4, 5])]
    assert [row.shared.size for row in rows] == [3, 3, 3, 2, 2]
    assert rows[0].shared is rows[2].shared
    assert all(row.queue_s > 0 for row in rows)


def test_versions_take_turns_by_who_has_waited_longest_and_never_share_a_pass(batcher, network):
    other = Network("b", network.passes)
    network.hold_up(batcher)
    last = [batcher.submit(each, pixels(value))[0] for value, each in enumerate((network, other, network, other), start=1)]
    network.gate.set()
    for answer in last:
        answer.result(60)
    assert network.passes[1:] == [("a", [1, 3]), ("b", [2, 4])]


def test_a_version_with_many_inputs_does_not_hold_up_another_for_more_than_a_pass(batcher, network):
    other = Network("b", network.passes)
    network.hold_up(batcher)
    many = batcher.submit(network, pixels(1, 2, 3))
    (single,) = batcher.submit(other, pixels(9))
    many += batcher.submit(network, pixels(4, 5, 6))
    network.gate.set()
    for answer in (*many, single):
        answer.result(60)
    assert network.passes[1:] == [("a", [1, 2, 3]), ("b", [9]), ("a", [4, 5, 6])]


def test_pixels_and_values_never_share_a_pass(batcher, network):
    network.hold_up(batcher)
    answers = [*batcher.submit(network, [*pixels(1), torch.tensor([2.0])]), *batcher.submit(network, pixels(3))]
    network.gate.set()
    for answer in answers:
        answer.result(60)
    assert network.passes[1:] == [("a", [1, 3]), ("a", [2])]


def test_what_is_cancelled_is_dropped_before_its_pass(batcher, network):
    network.hold_up(batcher)
    first, second = batcher.submit(network, pixels(1, 2))
    assert first.cancel()
    network.gate.set()
    second.result(60)
    assert network.passes[1:] == [("a", [2])]


def test_what_is_late_is_dropped_before_its_pass_and_told_so(batcher, network):
    network.hold_up(batcher)
    (late,) = batcher.submit(network, pixels(1), deadline=time.monotonic() - 1)
    (early,) = batcher.submit(network, pixels(2), deadline=time.monotonic() + 60)
    network.gate.set()
    early.result(60)
    with pytest.raises(DeadlineExceededError, match="dropped"):
        late.result(60)
    assert network.passes[1:] == [("a", [2])]


def test_a_batch_that_nobody_wants_any_more_costs_no_pass(batcher, network):
    network.hold_up(batcher)
    for answer in batcher.submit(network, pixels(1, 2)):
        answer.cancel()
    network.gate.set()
    batcher.pause().result(60)
    (next_one,) = batcher.submit(network, pixels(3))
    next_one.result(60)
    assert network.passes[1:] == [("a", [3])]


def test_a_failing_pass_fails_its_own_inputs_only(batcher, network):
    network.hold_up(batcher)
    answers = batcher.submit(network, pixels(66, 1, 2, 3))
    network.gate.set()
    for answer in answers[:3]:
        with pytest.raises(ValueError, match="sixty-six"):
            answer.result(60)
    assert answers[3].result(60).probabilities.tolist() == [3.0]


def test_a_pause_comes_after_the_pass_that_runs(batcher, network):
    running = network.hold_up(batcher)
    pause = batcher.pause()
    assert not pause.done()
    network.gate.set()
    pause.result(60)
    assert running.done()


def test_an_idle_batcher_has_no_pass_to_wait_for(batcher):
    batcher.pause().result(60)


def test_an_idle_batcher_waits_for_a_full_batch_if_that_is_wished(network):
    batcher = Batcher(threads=1, max_batch=3, wait_s=60)
    first = batcher.submit(network, pixels(1))
    rest = batcher.submit(network, pixels(2, 3))
    rows = [answer.result(30) for answer in (*first, *rest)]
    batcher.close()
    assert {row.shared.size for row in rows} == {3}


def test_an_idle_batcher_waits_no_longer_than_is_wished(network):
    batcher = Batcher(threads=1, max_batch=3, wait_s=0.01)
    (answer,) = batcher.submit(network, pixels(1))
    assert answer.result(30).shared.size == 1
    batcher.close()


def test_closing_ends_the_thread_and_fails_what_waits(network):
    batcher = Batcher(threads=1, max_batch=1)
    running = network.hold_up(batcher)
    waiting, cancelled = batcher.submit(network, pixels(1, 2))
    cancelled.cancel()
    closing = threading.Thread(target=batcher.close)
    closing.start()
    network.gate.set()
    closing.join(60)
    assert running.result(60).probabilities.tolist() == [0.0]
    if not waiting.exception(60):
        raise AssertionError("what waits must hear of the end")
    with pytest.raises(PredictionError, match="closing"):
        batcher.submit(network, pixels(3))
    assert batcher.pause().done()


def test_a_pass_with_another_number_of_answers_than_inputs_fails_and_the_thread_goes_on(batcher, network, monkeypatch):
    monkeypatch.setattr(network, "forward", lambda inputs: np.zeros((len(inputs) + 1, 1), np.float32))
    with pytest.raises(ValueError, match="zip"):
        batcher.submit(network, pixels(1))[0].result(60)
    monkeypatch.undo()
    assert batcher.submit(network, pixels(2))[0].result(60).probabilities.tolist() == [2.0]
    batcher.check_health()


def test_who_stops_waiting_for_the_end_of_a_pass_does_not_end_the_thread(batcher, network):
    running = network.hold_up(batcher)
    batcher.pause().cancel()
    network.gate.set()
    running.result(60)
    assert batcher.submit(network, pixels(2))[0].result(60).probabilities.tolist() == [2.0]


def test_a_batcher_is_well_until_a_pass_hangs_and_again_once_that_has_ended(network, monkeypatch):
    monkeypatch.setattr("actors.online.batcher._MOST_INPUT_S", 0.0)
    batcher = Batcher(threads=1, max_batch=3, most_pass_s=0.0)
    batcher.check_health()
    running = network.hold_up(batcher)
    with pytest.raises(RuntimeError, match="a forward pass has taken more than 0 s"):
        batcher.check_health()
    network.gate.set()
    running.result(60)
    batcher.pause().result(60)
    batcher.check_health()
    batcher.close()


def test_a_batcher_gives_each_input_of_a_pass_its_time(network):
    batcher = Batcher(threads=1, max_batch=3, most_pass_s=0.0)
    network.hold_up(batcher)
    batcher.check_health()
    network.gate.set()
    batcher.close()


def test_a_batcher_whose_thread_has_ended_is_not_well(network):
    batcher = Batcher(threads=1, max_batch=3)
    batcher.close()
    with pytest.raises(RuntimeError, match="has ended"):
        batcher.check_health()


def test_failures_of_passes_are_heard_of_although_nobody_awaits_the_answer(network):
    heard = []
    batcher = Batcher(threads=1, max_batch=3, on_failure=heard.append)
    batcher.submit(network, pixels(66))
    batcher.pause().result(60)
    batcher.close()
    assert [str(error) for error in heard] == ["sixty-six"]
