"""Removes what the limits of retention say has to go, a little at a time: records of tasks, logs, checkpoints.

Owns the rounds and what was removed in them. What has to go is ``retention``'s decision; each thing is removed by its owner: records by
the supervisor, logs by the log hub. Checkpoints, and what killed attempts left in staging, lie in users' folders and are removed here,
by their names, and never anything else.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from actors.clock import Clock
from actors.core.task_flow import TaskFlow
from actors.core.tasks import Task
from actors.fence import find_staging, remove_staging
from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.learning.plan import CHECKPOINT_LIST, PREVIOUS_STATE, RESUME_STATE
from actors.messages import EndedLog
from actors.retention import (
    SETTLED_S,
    Bounds,
    Kept,
    checkpoint_folders,
    choose_kept,
    choose_tasks,
    ended_at,
    ended_tasks,
    folders_left,
    is_busy,
)

_EVERY_S: Final = 600.0
#: So much is removed between two looks at what else there is to do.
_AT_ONCE: Final = 200
_TURN_S: Final = 0.05
#: The files that a training can be continued from. Its weights have other names.
CHECKPOINT_FILES: Final = (RESUME_STATE, PREVIOUS_STATE, CHECKPOINT_LIST)
#: What metrics call the things that are removed.
TASKS, LOGS, CHECKPOINTS = KINDS = ("tasks", "logs", "checkpoints")

#: Asks the log hub: a method and its arguments.
AskHub = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Hands:
    """How tasks and logs are removed: by their owners."""

    forget: Callable[[str], None]
    ask_hub: AskHub


class Housekeeper:
    """The rounds of one supervisor's life. Invariant: ``removed`` counts what is really gone."""

    def __init__(self, bounds: Bounds, flow: TaskFlow, *, hands: Hands, roots: DataRoots, clock: Clock) -> None:
        self._bounds = bounds
        self._flow = flow
        self._hands = hands
        self._roots = roots
        self._clock = clock
        self._removed = Counter(dict.fromkeys(KINDS, 0))
        #: Logs of tasks that ended up to then are removed already.
        self._logs_gone_until = 0.0
        #: The output folders of tasks that ended up to then hold nothing of killed attempts any more.
        self._staging_gone_until = 0.0

    @property
    def removed(self) -> Mapping[str, int]:
        """How many things of each kind were removed."""
        return dict(self._removed)

    async def keep(self) -> None:
        """Make a round every ten minutes."""
        while True:
            await asyncio.sleep(_EVERY_S)
            await self.tidy()

    async def tidy(self) -> None:
        """Make one round, and say in the process's own output what was removed."""
        before = self.removed
        await self._tidy_staging()  # while the records still tell the folders
        await self._tidy_tasks()
        await self._tidy_logs()
        await self._tidy_checkpoints()
        gone = {kind: count - before[kind] for kind, count in self.removed.items() if count > before[kind]}
        if gone:
            told = ", ".join(f"{kind}: {count}" for kind, count in gone.items())
            print(f"removed by the limits of retention: {told}", file=sys.stderr, flush=True)  # noqa: T201 - the actor's own log

    async def _tidy_staging(self) -> None:
        """Remove what killed attempts left in the folders of tasks that ended since the last round, whatever the limits are."""
        since, until = self._staging_gone_until, self._clock.now() - SETTLED_S
        for folder in await asyncio.to_thread(self._staged_folders, list(self._flow.tasks.values()), since, until):
            # An unfinished task's attempt clears the folder itself.
            if not is_busy(folder, self._flow.unfinished(), {}):
                self._removed[CHECKPOINTS] += await asyncio.to_thread(self._remove_staging, folder)
        self._staging_gone_until = until

    async def _tidy_tasks(self) -> None:
        # In a thread: tens of thousands of records take a tenth of a second to look through.
        chosen = await asyncio.to_thread(choose_tasks, list(self._flow.tasks.values()), self._bounds, self._clock.now())
        for portion in _portions(chosen):
            for task_id in portion:
                task = self._flow.tasks.get(task_id)
                if task is not None and task.state.is_final:  # somebody may have deleted it meanwhile, and submitted another one
                    self._hands.forget(task_id)
                    self._removed[TASKS] += 1
            await asyncio.sleep(_TURN_S)

    async def _tidy_logs(self) -> None:
        now, bounds = self._clock.now(), self._bounds
        excess = await self._hands.ask_hub("total_bytes") - bounds.logs_bytes if bounds.logs_bytes else 0
        if excess <= 0 and not bounds.logs_age_s:
            return
        ended = await asyncio.to_thread(ended_tasks, list(self._flow.tasks.values()), now)
        tasks = [task for task in ended if ended_at(task) > self._logs_gone_until]
        if bounds.logs_age_s:
            old = [task for task in tasks if now - ended_at(task) > bounds.logs_age_s]
            tasks = tasks[len(old) :]
            excess -= await self._remove_logs(old, "RFUAV_KEEP_LOGS_DAYS", None)
        await self._remove_logs(tasks, "RFUAV_KEEP_LOGS_MB", excess)

    async def _remove_logs(self, tasks: Sequence[Task], setting: str, excess: int | None) -> int:
        """Remove logs in the given order, all of them or as many as free ``excess`` bytes; returns the bytes that were freed."""
        day = datetime.fromtimestamp(self._clock.now(), UTC).isoformat(" ", "minutes")
        total = 0
        for portion in _portions(tasks):
            left = None if excess is None else excess - total
            if left is not None and left <= 0:
                break
            logs = [EndedLog(task.task_id, task.state, f"this log was removed on {day}, as {setting} wants it") for task in portion]
            freed: list[int] = await self._hands.ask_hub("remove", logs, left)
            self._removed[LOGS] += sum(size > 0 for size in freed)
            self._logs_gone_until = ended_at(portion[len(freed) - 1])
            total += sum(freed)
            await asyncio.sleep(_TURN_S)
        return total

    async def _tidy_checkpoints(self) -> None:
        bounds = self._bounds
        if not (bounds.checkpoints_bytes or bounds.checkpoints_age_s):
            return
        now = self._clock.now()
        folders = await asyncio.to_thread(checkpoint_folders, list(self._flow.tasks.values()), now)
        kept = await asyncio.to_thread(self._measure, folders)
        limits: dict[str, Any] = {"most_bytes": bounds.checkpoints_bytes, "most_age_s": bounds.checkpoints_age_s}
        for each in choose_kept(kept, **limits, now=now):
            # A training may have begun in this folder, or from it, while others were removed.
            if not is_busy(each.name, self._flow.unfinished(), self._flow.tasks):
                self._removed[CHECKPOINTS] += await asyncio.to_thread(self._remove_checkpoints, each.name)

    def _measure(self, folders: Mapping[str, float]) -> list[Kept]:
        sizes = {folder: sum(_size_of(path) for path in self._checkpoint_paths(folder)) for folder in folders}
        return [Kept(folder, folders[folder], size) for folder, size in sizes.items() if size]

    def _remove_checkpoints(self, folder: str) -> int:
        """Remove the checkpoints of a folder; 1 where there were any."""
        is_removed = False
        for path in self._checkpoint_paths(folder):
            try:
                path.unlink()
                is_removed = True
            except FileNotFoundError:
                continue
            except OSError as error:
                print(f"{path} cannot be removed: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201 - see ``tidy``
        return int(is_removed)

    def _staged_folders(self, tasks: Sequence[Task], since: float, until: float) -> list[str]:
        """Of the folders of tasks that ended within a time, those that hold something of an attempt in staging."""
        located = {folder: self._locate(folder) for folder in folders_left(tasks, since, until)}
        return [folder for folder, path in located.items() if path is not None and find_staging(path)]

    def _remove_staging(self, folder: str) -> int:
        """Remove what killed attempts left in a folder; 1 where there was anything."""
        located = self._locate(folder)
        return int(located is not None and remove_staging(located))

    def _checkpoint_paths(self, folder: str) -> list[Path]:
        """Where the checkpoints of a folder would be; nowhere, if it leads out of the data roots by now."""
        located = self._locate(folder)
        return [] if located is None else [located / name for name in CHECKPOINT_FILES]

    def _locate(self, folder: str) -> Path | None:
        """Follow the links of a folder's path; None if it leads out of the data roots by now."""
        try:
            return self._roots.locate(Path(folder))
        except WorkError:
            return None


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _portions(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE))
