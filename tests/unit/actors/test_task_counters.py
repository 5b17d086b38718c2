"""What the supervisor counts, fed through the real task flow."""

import pytest

from actors.core import task_events as te
from actors.core.model import WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import EndMode, TaskFault, TaskState
from actors.task_counters import OUTCOMES, WAIT_BOUNDS_S, TaskTally
from tests.unit.core.test_task_flow import lease_for, make_submission

FAULT = TaskFault("broken", "it broke")


class World:
    """A flow whose every event is counted."""

    def __init__(self):
        self.flow, self.tally = TaskFlow(), TaskTally()

    def do(self, event, now=0.0):
        self.tally.count(event, self.flow.handle(event, now=now))

    def start(self, task_id="t", *, submitted=0.0, started=0.0, **changes):
        self.do(te.TaskSubmitted(make_submission(task_id, **changes)), submitted)
        self.do(te.LeaseGranted(lease_for(self.flow, task_id)), started)

    def read(self):
        return self.tally.read(self.flow.tasks.values())


@pytest.fixture
def world():
    return World()


def attempts(**counted):
    return dict.fromkeys(OUTCOMES, 0) | counted


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (te.AttemptEnded("t.1", "completed", "done"), "completed"),
        (te.AttemptEnded("t.1", "failed", "no", FAULT), "failed"),
        (te.AttemptEnded("t.1", "failed", "no", FAULT, is_retryable=True), "failed"),
        (te.AttemptEnded("t.1", "stopped", "as asked"), "cancelled"),
        (te.AttemptDied("t.1", "signal 9"), "died"),
    ],
)
def test_an_attempt_counts_once_by_how_it_ended(world, event, outcome):
    world.start()
    world.do(event)
    assert world.read().attempts == attempts(**{outcome: 1})
    world.do(event)
    assert world.read().attempts == attempts(**{outcome: 1})


def test_an_attempt_that_gave_way_was_preempted(world):
    world.start()
    world.do(te.LeaseRevoked("t.1"))
    world.do(te.AttemptEnded("t.1", "stopped", "saved"))
    assert world.read().attempts == attempts(preempted=1)


def test_what_a_user_killed_was_cancelled_and_did_not_die(world):
    world.start()
    world.do(te.EndRequested("t", EndMode.KILL))
    world.do(te.AttemptDied("t.1", "signal 9"))
    assert world.read().attempts == attempts(cancelled=1)


def test_tasks_are_told_by_the_state_they_are_in_now(world):
    world.start("a")
    world.start("b")
    world.do(te.AttemptEnded("b.1", "completed", "done"))
    world.do(te.TaskSubmitted(make_submission("c")))
    assert {state: count for state, count in world.read().tasks.items() if count} == {
        TaskState.RUNNING: 1,
        TaskState.COMPLETED: 1,
        TaskState.PENDING: 1,
    }
    assert set(world.read().tasks) == set(TaskState)


@pytest.mark.parametrize(("waited_s", "place"), [(0.0, 0), (0.1, 0), (0.2, 1), (7.0, 4), (1e9, len(WAIT_BOUNDS_S))])
def test_a_wait_falls_into_the_class_whose_bound_it_does_not_exceed(world, waited_s, place):
    world.start(submitted=100.0, started=100.0 + waited_s)
    waits = world.read().waits[WorkKind.TRAINING]
    assert [number for number, count in enumerate(waits.counts) if count] == [place]
    assert waits.sum_s == pytest.approx(waited_s)


def test_only_the_first_grant_of_a_task_ends_its_wait(world):
    world.start(started=3.0)
    world.do(te.AttemptDied("t.1", "signal 9"), 50.0)
    world.do(te.LeaseGranted(lease_for(world.flow, "t")), 90.0)
    waits = world.read().waits[WorkKind.TRAINING]
    assert (sum(waits.counts), waits.sum_s) == (1, 3.0)
