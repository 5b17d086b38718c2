"""The order in which tasks are listed: all of them, and those of each batch."""

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence

from actors.core.tasks import Task
from actors.messages import TaskPage, TaskQuery

Key = tuple[float, str]

#: The list that holds every task; no batch has this id.
_ALL = ""


class TaskIndex:
    """All task ids by time of submission.

    Invariant: each list is sorted and holds one key (submitted_at, task_id) for each task of it; no list of a batch is empty.
    """

    def __init__(self) -> None:
        self._lists: dict[str, list[Key]] = {_ALL: []}
        self._places: dict[str, tuple[Key, str]] = {}

    def add(self, task: Task) -> None:
        """Take in a new task."""
        key, batch_id = (task.submitted_at, task.task_id), task.submission.batch_id
        self._places[task.task_id] = (key, batch_id)
        for name in {_ALL, batch_id}:
            insort(self._lists.setdefault(name, []), key)

    def remove(self, task_id: str) -> None:
        """Forget a task; one that is deleted before its acceptance is on disk was never taken in."""
        if task_id not in self._places:
            return
        key, batch_id = self._places.pop(task_id)
        for name in {_ALL, batch_id}:
            keys = self._lists[name]
            del keys[bisect_left(keys, key)]
        if batch_id and not self._lists[batch_id]:
            del self._lists[batch_id]

    def page(self, query: TaskQuery, tasks: Mapping[str, Task]) -> TaskPage:
        """The tasks that a query asks for, newest first."""
        keys: Sequence[Key] = self._lists.get(query.batch_id or _ALL, ())
        end = bisect_left(keys, _read_cursor(query.cursor)) if query.cursor else len(keys)
        found: list[Task] = []
        for position in range(end - 1, -1, -1):
            task = tasks[keys[position][1]]
            if not _matches(task, query):
                continue
            if len(found) == query.limit:
                return TaskPage(tuple(found), _write_cursor(found[-1]))
            found.append(task)
        return TaskPage(tuple(found), None)


def _matches(task: Task, query: TaskQuery) -> bool:
    is_state = query.state is None or task.state is query.state
    return is_state and (query.task_type is None or task.submission.task_type == query.task_type)


def _write_cursor(task: Task) -> str:
    """A position that stays where it is, whatever comes or goes: the key itself, not a task that may be deleted."""
    return f"{task.submitted_at}~{task.task_id}"


def _read_cursor(cursor: str) -> Key:
    at, _, task_id = cursor.partition("~")
    return float(at), task_id
