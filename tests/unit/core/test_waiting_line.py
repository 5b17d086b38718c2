import pytest

from actors.core.events import WaitReason
from actors.core.model import WorkKind
from actors.core.waiting_line import WaitingLine
from tests.unit.core.factories import make_request


def test_who_left_is_not_at_the_head_even_after_rejoining_with_another_rank():
    line = WaitingLine(600.0)
    line.join(make_request("a", priority=1), WaitReason.LIMIT)
    line.join(make_request("b", priority=2), WaitReason.LIMIT)
    line.leave("a")
    line.join(make_request("a", priority=3), WaitReason.LIMIT)
    assert line.head(WorkKind.TRAINING, "cuda").request.request_id == "b"
    line.validate()


def test_heaps_do_not_grow_with_those_who_left():
    line = WaitingLine(600.0)
    for number in range(5_000):
        line.join(make_request(f"r{number}"), WaitReason.LIMIT)
        line.leave(f"r{number}")
    assert len(line) == 0
    assert sum(map(len, line._heaps.values())) <= 66


def test_leaving_a_line_one_is_not_in_is_nothing():
    assert WaitingLine(600.0).leave("nobody") is None


def test_a_broken_line_is_found_by_validate():
    line = WaitingLine(600.0)
    line.join(make_request("a"), WaitReason.LIMIT)
    line._heaps.clear()
    line._heaps[WorkKind.TRAINING, "cuda"] = []
    with pytest.raises(AssertionError, match="live entries"):
        line.validate()
