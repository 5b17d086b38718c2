import pytest

from actors.core.events import WaitReason
from actors.core.model import WorkKind
from actors.core.waiting_line import WaitingLine
from tests.unit.core.factories import make_gpu, make_request


def heads(line):
    """The first of every queue for trainings on cuda:0."""
    return {entry.request.request_id for entry in line.heads(WorkKind.TRAINING, make_gpu(0))}


def test_a_queue_goes_on_in_order_behind_its_head():
    line = WaitingLine(600.0)
    for number in (3, 1, 2):
        line.join(make_request(f"r{number}", submitted_at=number), WaitReason.LIMIT)
    (head,) = line.heads(WorkKind.TRAINING, make_gpu(0))
    assert [entry.request.request_id for entry in (head, *line.behind(head))] == ["r1", "r2", "r3"]


def test_who_left_is_not_at_the_head_even_after_rejoining_with_another_rank():
    line = WaitingLine(600.0)
    line.join(make_request("a", priority=1), WaitReason.LIMIT)
    line.join(make_request("b", priority=2), WaitReason.LIMIT)
    line.leave("a")
    line.join(make_request("a", priority=3), WaitReason.LIMIT)
    assert heads(line) == {"b"}
    line.validate()


def test_queues_do_not_grow_with_those_who_left():
    line = WaitingLine(600.0)
    for number in range(5_000):
        line.join(make_request(f"r{number}"), WaitReason.LIMIT)
        line.leave(f"r{number}")
    assert len(line) == 0
    assert sum(len(queue.ranks) for queue in line._queues.values()) == 0
    line.validate()


def test_leaving_a_line_one_is_not_in_is_nothing():
    assert WaitingLine(600.0).leave("nobody") is None


def test_a_broken_line_is_found_by_validate():
    line = WaitingLine(600.0)
    line.join(make_request("a"), WaitReason.LIMIT)
    line._queues[WorkKind.TRAINING, "cuda", 1].ranks.append((0.0, 0.0, "a"))
    with pytest.raises(AssertionError, match="not the sorted ranks"):
        line.validate()


def test_every_queue_that_may_use_a_device_has_its_head_there():
    line = WaitingLine(600.0)
    for request_id, selector, width in (("any", "cuda", 1), ("pinned", "cuda:0", 1), ("other", "cuda:1", 1), ("gang", "cuda", 2)):
        line.join(make_request(request_id, selector=selector, device_count=width), WaitReason.LIMIT)
    assert heads(line) == {"any", "pinned", "gang"}
    assert [head.request.request_id for head in line.all_heads()] == ["any", "gang", "other", "pinned"]


def test_those_ahead_are_counted_in_every_queue():
    line = WaitingLine(600.0)
    for number, selector in enumerate(("cuda", "cuda:0", "cpu", "cuda")):
        line.join(make_request(f"r{number}", selector=selector, submitted_at=number), WaitReason.LIMIT)
    ahead = line.count_ahead(line.rank_for(make_request("newcomer", submitted_at=2.5)))
    assert ahead == {(WorkKind.TRAINING, selector, 1): 1 for selector in ("cuda", "cuda:0", "cpu")}
    assert line.first(2) == ["r0", "r1"]


def test_a_queue_knows_the_mix_of_its_profiles():
    line = WaitingLine(600.0)
    for number in range(4):
        line.join(make_request(f"r{number}", profile="vgg11" if number else "resnet18"), WaitReason.LIMIT)
    line.leave("r3")
    assert line.mix_of((WorkKind.TRAINING, "cuda", 1)) == {"resnet18": pytest.approx(1 / 3), "vgg11": pytest.approx(2 / 3)}
