"""The order in which tasks are listed."""

from bisect import bisect_left, insort
from collections.abc import Mapping

from actors.core.tasks import Task
from actors.messages import TaskPage, TaskQuery


class TaskIndex:
    """All task ids by time of submission.

    Invariant: one key (submitted_at, task_id) for each task, sorted.
    """

    def __init__(self) -> None:
        self._keys: list[tuple[float, str]] = []
        self._times: dict[str, float] = {}

    def add(self, task: Task) -> None:
        """Take in a new task."""
        self._times[task.task_id] = task.submitted_at
        insort(self._keys, (task.submitted_at, task.task_id))

    def remove(self, task_id: str) -> None:
        """Forget a task."""
        key = (self._times.pop(task_id), task_id)
        del self._keys[bisect_left(self._keys, key)]

    def page(self, query: TaskQuery, tasks: Mapping[str, Task]) -> TaskPage:
        """The tasks that a query asks for, newest first. An unknown cursor begins at the newest."""
        end = len(self._keys)
        if query.cursor in self._times:
            end = bisect_left(self._keys, (self._times[query.cursor], query.cursor))
        found: list[Task] = []
        for position in range(end - 1, -1, -1):
            task = tasks[self._keys[position][1]]
            if not _matches(task, query):
                continue
            if len(found) == query.limit:
                return TaskPage(tuple(found), found[-1].task_id)
            found.append(task)
        return TaskPage(tuple(found), None)


def _matches(task: Task, query: TaskQuery) -> bool:
    is_state = query.state is None or task.state is query.state
    return is_state and (query.task_type is None or task.submission.task_type == query.task_type)
