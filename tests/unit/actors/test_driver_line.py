"""A driver that waits is heard again and again; one that has fallen silent is found, and nobody else is."""

import pytest

from actors.core.model import HolderKind, LeaseRequest, WorkKind
from actors.driver_line import DriverLine


def request(request_id, holder=HolderKind.DRIVER):
    return LeaseRequest(request_id, request_id, WorkKind.INFERENCE, "cuda", 5, 0.0, holder=holder)


@pytest.fixture
def line():
    return DriverLine(silence_s=30.0)


def test_a_driver_that_repeats_its_request_keeps_its_place(line):
    for now in range(0, 200, 20):
        line.note(request("a"), now)
        assert line.next_silent({"a"}, now + 5) is None


def test_a_silent_driver_is_found(line):
    line.note(request("a"), 0.0)
    line.note(request("b"), 20.0)
    assert line.next_silent({"a", "b"}, 31.0) == "a"


def test_who_speaks_or_gets_its_lease_while_another_is_taken_out_of_the_line_is_left_alone(line):
    for name in "abc":
        line.note(request(name), 0.0)
    assert line.next_silent({"a", "b", "c"}, 31.0) == "a"
    line.note(request("b"), 31.0)
    assert line.next_silent({"b"}, 31.0) is None


def test_a_driver_that_has_its_lease_is_not_expected_to_ask(line):
    line.note(request("a"), 0.0)
    assert line.next_silent(set(), 100.0) is None
    assert line.next_silent({"a"}, 200.0) is None


def test_attempts_wait_in_silence(line):
    line.note(request("a", HolderKind.ATTEMPT), 0.0)
    assert line.next_silent({"a"}, 1000.0) is None
