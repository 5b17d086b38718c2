"""Which ended tasks, logs and checkpoints have to go, by their number, size and age. Pure: no files, no clock, no Ray.

Whatever somebody may still need is out of the question here: tasks that have not ended, and what an unfinished one goes on from.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from actors.core.model import WorkKind
from actors.core.tasks import Task
from configs.settings import Settings

_DAY_S: Final = 86_400.0
#: Somebody who waited for the end of a task gets the time to look at it, whatever the limits are.
SETTLED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is kept; 0 stands for no limit."""

    tasks: int
    tasks_age_s: float
    logs_bytes: int
    logs_age_s: float
    checkpoints_bytes: int
    checkpoints_age_s: float

    @classmethod
    def of(cls, settings: Settings) -> "Bounds":
        """The bounds as people set them."""
        return cls(
            tasks=settings.keep_tasks,
            tasks_age_s=settings.keep_tasks_days * _DAY_S,
            logs_bytes=settings.keep_logs_mb << 20,
            logs_age_s=settings.keep_logs_days * _DAY_S,
            checkpoints_bytes=int(settings.keep_checkpoints_gb * 2**30),
            checkpoints_age_s=settings.keep_checkpoints_days * _DAY_S,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """Something of an ended task that takes room."""

    name: str
    ended_at: float
    size_bytes: int


def ended_tasks(tasks: Iterable[Task], now: float) -> list[Task]:
    """The tasks that ended a while ago and that no other one needs, the oldest first."""
    known = list(tasks)
    needed = needed_tasks(known)
    ended = [task for task in known if task.state.is_final and task.task_id not in needed and now - ended_at(task) > SETTLED_S]
    return sorted(ended, key=lambda task: (ended_at(task), task.task_id))


def ended_at(task: Task) -> float:
    """When a task ended."""
    return task.finished_at or task.updated_at


def needed_tasks(tasks: Iterable[Task]) -> set[str]:
    """The trainings that unfinished ones go on from."""
    named = (task.submission.request.get("resume_from") for task in tasks if not task.state.is_final)
    return {str(task_id) for task_id in named if task_id}


def choose_tasks(tasks: Sequence[Task], bounds: Bounds, now: float) -> list[str]:
    """The tasks to forget, the oldest first. A batch goes as a whole, once all of its tasks have ended, or not at all.

    Args:
        tasks: all of them.
        bounds: what is kept; the number counts ended tasks.
        now: the present instant.
    """
    excess = sum(task.state.is_final for task in tasks) - bounds.tasks if bounds.tasks else 0
    if excess <= 0 and not bounds.tasks_age_s:
        return []
    may_go = {task.task_id for task in ended_tasks(tasks, now)}
    members: dict[str, list[Task]] = {}
    for task in tasks:
        members.setdefault(task.submission.batch_id or task.task_id, []).append(task)
    entries = [entry for entry in members.values() if all(task.task_id in may_go for task in entry)]
    entries.sort(key=lambda entry: (_newest_end(entry), entry[0].task_id))
    chosen: list[str] = []
    for entry in entries:
        is_old = bounds.tasks_age_s > 0 and now - _newest_end(entry) > bounds.tasks_age_s
        if not is_old and len(chosen) >= excess:
            break
        chosen += [task.task_id for task in entry]
    return chosen


def choose_kept(kept: Iterable[Kept], *, most_bytes: int, most_age_s: float, now: float) -> list[Kept]:
    """What has to go, the oldest first: all that is too old, and as much more as is too much together."""
    in_order = sorted(kept, key=lambda each: (each.ended_at, each.name))
    excess = sum(each.size_bytes for each in in_order) - most_bytes if most_bytes else 0
    chosen = []
    for each in in_order:
        is_old = most_age_s > 0 and now - each.ended_at > most_age_s
        if not is_old and excess <= 0:
            break
        chosen.append(each)
        excess -= each.size_bytes
    return chosen


def checkpoint_folders(tasks: Sequence[Task], now: float) -> Mapping[str, float]:
    """The output folders whose checkpoints may go, each with the end of the last training that wrote there.

    A folder that an unfinished task writes into, or reads a checkpoint from, is none of them.
    """
    known = {task.task_id: task for task in tasks}
    busy = {folder for task in tasks if not task.state.is_final for folder in _folders_of(task, known)}
    folders: dict[str, float] = {}
    for task in tasks:
        if task.submission.work is not WorkKind.TRAINING or not task.state.is_final:
            continue
        folder = str(task.submission.resolved.get("output") or "")
        folders[folder] = max(folders.get(folder, 0.0), ended_at(task))
    return {folder: at for folder, at in folders.items() if folder and folder not in busy and now - at > SETTLED_S}


def folders_left(tasks: Iterable[Task], since: float, until: float) -> list[str]:
    """The output folders of the tasks that ended after ``since`` and not after ``until``; whether others use them is not looked at."""
    outputs = (task.submission.resolved.get("output") for task in tasks if task.state.is_final and since < ended_at(task) <= until)
    return list(dict.fromkeys(output for output in outputs if output))


def is_busy(folder: str, unfinished: Iterable[Task], known: Mapping[str, Task]) -> bool:
    """Tell whether an unfinished task writes into a folder, or goes on from a training that did."""
    return any(folder in _folders_of(task, known) for task in unfinished)


def _folders_of(task: Task, known: Mapping[str, Task]) -> set[str]:
    """Where a task writes, and where the checkpoint lies that it goes on from, whose training may be deleted by now."""
    resolved = task.submission.resolved
    checkpoint = resolved.get("resume_from")
    earlier = known.get(str(task.submission.request.get("resume_from") or ""))
    folders = {str(each.submission.resolved.get("output") or "") for each in (task, earlier) if each is not None}
    return folders | ({str(PurePath(checkpoint).parent)} if checkpoint else set())


def _newest_end(entry: Iterable[Task]) -> float:
    return max(ended_at(task) for task in entry)
