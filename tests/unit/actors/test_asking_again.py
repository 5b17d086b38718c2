"""An accountant that begins anew hears of the whole line, best-ranked first, as it is by then."""

import asyncio

import pytest

from actors import asking_again
from actors.asking_again import ask_again, rank_again
from actors.core import task_events as te
from actors.core.errors import UnsatisfiableRequestError
from actors.core.task_flow import TaskFlow
from actors.core.tasks import EndMode, TaskState
from actors.messages import Queued
from tests.unit.core.test_task_flow import lease_for, make_submission

PATIENCE_S = 600.0


@pytest.fixture
def flow():
    flow = TaskFlow()
    for number, priority in enumerate((5, 9, 5, 1)):
        flow.handle(te.TaskSubmitted(make_submission(f"t{number}", priority=priority)), now=float(number))
    return flow


def ask_all(flow, *, meanwhile=lambda _asked: None, answer=lambda request: Queued(request.request_id, "limit")):
    """Run it; returns the requests of each message, and what was taken in."""
    messages, taken = [], []

    async def ask(requests):
        messages.append([(request.request_id, request.priority) for request in requests])
        meanwhile(len(messages))
        return [answer(request) for request in requests]

    asyncio.run(ask_again(flow, PATIENCE_S, ask, lambda request, answer: taken.append((request.request_id, answer))))
    return messages, taken


def test_the_best_ranked_are_asked_for_first_and_running_tasks_are_not(flow):
    flow.handle(te.LeaseGranted(lease_for(flow, "t2")), now=9.0)
    messages, taken = ask_all(flow)
    assert messages == [[("t3.1", 1), ("t0.1", 5), ("t1.1", 9)]]
    assert taken[0] == ("t3.1", Queued("t3.1", "limit"))


def test_what_users_change_between_two_messages_counts(flow, monkeypatch):
    monkeypatch.setattr(asking_again, "REQUESTS_PER_MESSAGE", 1)

    def meanwhile(asked):
        if asked == 1:
            flow.handle(te.EndRequested("t0", EndMode.CANCEL), now=10.0)
            flow.handle(te.PriorityChanged("t1", 2), now=10.0)

    messages, taken = ask_all(flow, meanwhile=meanwhile)
    assert messages == [[("t3.1", 1)], [("t2.1", 5)], [("t1.1", 2)]]
    assert [attempt for attempt, _ in taken] == ["t3.1", "t2.1", "t1.1"]


def test_a_refusal_is_taken_in_like_every_answer(flow):
    error = UnsatisfiableRequestError("t", "no such device")
    _, taken = ask_all(flow, answer=lambda _request: error)
    assert [answer for _, answer in taken] == [error] * 4
    assert all(task.state is TaskState.PENDING for task in flow.tasks.values())


def test_every_place_in_line_that_a_user_gave_is_told_again(flow):
    for task_id, priority in (("t0", 7), ("t1", 2), ("t2", 3)):
        flow.handle(te.PriorityChanged(task_id, priority), now=9.0)
    flow.handle(te.LeaseGranted(lease_for(flow, "t2")), now=9.0)
    told = []

    async def tell(attempt_id, priority):
        told.append((attempt_id, priority))
        if attempt_id == "t0.1":
            flow.handle(te.PriorityChanged("t1", 1), now=10.0)

    asyncio.run(rank_again(flow, tell))
    assert told == [("t0.1", 7), ("t1.1", 1)]
