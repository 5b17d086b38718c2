"""Counting what becomes of attempts and how long tasks wait, for those who measure. Pure: no Ray, no clock, no store.

The counts begin with the supervisor's life and only grow, which is what collectors of metrics expect: they notice a new beginning by
themselves.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence

from actors.core import task_events as te
from actors.core.model import WorkKind
from actors.core.tasks import Task, TaskState
from actors.messages import TaskCounters, WaitCounts

#: The upper bounds of the classes of waiting time, in seconds: from "at once" to half a day.
WAIT_BOUNDS_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0)
COMPLETED, FAILED, CANCELLED, DIED, PREEMPTED = OUTCOMES = ("completed", "failed", "cancelled", "died", "preempted")


class TaskTally:
    """Counts of one supervisor's life; ``count`` sees every event once, with the commands that the flow made of it."""

    def __init__(self) -> None:
        self._attempts = dict.fromkeys(OUTCOMES, 0)
        self._waits = {work: [0] * (len(WAIT_BOUNDS_S) + 1) for work in WorkKind}
        self._waited_s = dict.fromkeys(WorkKind, 0.0)

    def count(self, event: te.TaskEvent, commands: Sequence[te.TaskCommand]) -> None:
        """Take in an event and what followed; what nothing followed from changed nothing and does not count."""
        if isinstance(event, te.LeaseGranted):
            self._count_start(commands)
        elif isinstance(event, te.AttemptEnded | te.AttemptDied):
            outcome = _outcome(event, commands)
            if outcome is not None:
                self._attempts[outcome] += 1

    def read(self, tasks: Iterable[Task]) -> TaskCounters:
        """The counts so far, and how many of the given tasks are in each state."""
        states = Counter(task.state for task in tasks)
        return TaskCounters(
            attempts=dict(self._attempts),
            tasks={state: states[state] for state in TaskState},
            waits={work: WaitCounts(WAIT_BOUNDS_S, tuple(self._waits[work]), self._waited_s[work]) for work in WorkKind},
        )

    def _count_start(self, commands: Sequence[te.TaskCommand]) -> None:
        """Count the wait of a task whose first attempt begins; later attempts do not wait for the first time."""
        for command in commands:
            if isinstance(command, te.StartAttempt) and command.task.attempts == 1:
                task = command.task
                waited_s = max(0.0, (task.started_at or task.submitted_at) - task.submitted_at)
                self._waits[task.submission.work][bisect_left(WAIT_BOUNDS_S, waited_s)] += 1
                self._waited_s[task.submission.work] += waited_s


def _outcome(event: te.AttemptEnded | te.AttemptDied, commands: Sequence[te.TaskCommand]) -> str | None:
    """How an attempt ended; None where the event came for an attempt that was over already."""
    saved = next((command.task for command in commands if isinstance(command, te.SaveTask)), None)
    if saved is None:
        return None
    if saved.state is TaskState.CANCELLED:
        return CANCELLED
    if isinstance(event, te.AttemptDied):
        return DIED
    if saved.state is TaskState.COMPLETED:
        return COMPLETED
    # Who stopped and goes back into the line was asked to give way.
    return PREEMPTED if saved.state is TaskState.QUEUED and event.outcome == "stopped" else FAILED
