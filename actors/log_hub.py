"""The logs of all tasks: one writer, any number of readers, each from its own position.

Every line has a sequence number within its task, from 1 without gaps, and is on disk before it is answered for. A source (an
attempt, or the supervisor) numbers its own lines too, so that lines which are sent again after a lost answer, or after a disk that was
full for a while, are not written twice.
"""

import asyncio
import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from actors.clock import SystemClock
from actors.log_file import TaskLog, replace_content
from actors.messages import EndedLog, LogDraft, LogSlice
from actors.names import LOG_HUB
from actors.presence import announce

#: So many logs are kept open; others are read again from disk when somebody asks.
_MOST_OPEN: Final = 512
#: A log that is smaller takes no more room on the disk than the line that would stand for it.
_WORTH_BYTES: Final = 4_096
#: What the disk must take before a hub that was in trouble says that it is well again.
_PROOF_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class _Place:
    """Where logs are: the file name is a digest, since a task's id is the user's and no file name of ours."""

    folder: Path

    def of(self, task_id: str) -> Path:
        return self.folder / f"{hashlib.sha256(task_id.encode()).hexdigest()[:32]}.jsonl"


@dataclass(slots=True)
class _OpenLog:
    """A log in use, and the event that wakes those who wait for its next line."""

    log: TaskLog
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class LogHub:
    """The only writer of task logs. Every method is one message; none blocks for longer than a small write to disk."""

    def __init__(self, state_dir: Path, most_log_bytes: int = 0) -> None:
        announce(state_dir, LOG_HUB)
        self._clock = SystemClock()
        self._most_log_bytes = most_log_bytes
        self._place = _Place(state_dir / "logs" / "tasks")
        self._place.folder.mkdir(parents=True, exist_ok=True)
        self._open: OrderedDict[str, _OpenLog] = OrderedDict()
        #: Why the last line could not be written; "" when it could.
        self._trouble = ""

    async def ping(self) -> float:
        """Answer with the time, to show that the hub is alive."""
        return self._clock.now()

    async def trouble(self) -> str:
        """Why lines cannot be written now, in words for people; "" where they can."""
        if self._trouble:
            self._prove_room()
        return self._trouble

    async def append(self, task_id: str, source: str, drafts: Sequence[LogDraft]) -> int:
        """Write what is new of a source's lines; returns the last sequence number. Sending again is harmless.

        Raises:
            OSError: the disk takes nothing now; the source keeps its lines and sends them again.
        """
        entry = self._entry(task_id)
        before = entry.log.last_seq
        try:
            last = entry.log.append(source, drafts)
        except OSError as error:
            self._trouble = _explain(error)
            raise
        self._trouble = ""
        if last > before:
            entry.wake()
        return last

    async def read(self, task_id: str, after: int = 0, limit: int = 1000, wait_s: float = 0.0) -> LogSlice:
        """Lines above ``after``, at most ``limit``; waits up to ``wait_s`` for the first where there is none yet."""
        entry = self._entry(task_id)
        answer = entry.log.read(after, limit)
        if answer.lines or answer.is_complete or wait_s <= 0:
            return answer
        try:
            await asyncio.wait_for(entry.changed.wait(), wait_s)
        except TimeoutError:
            return answer
        return self._entry(task_id).log.read(after, limit)

    async def forget(self, task_id: str) -> None:
        """Delete a task's log."""
        self._let_go(task_id)
        self._place.of(task_id).unlink(missing_ok=True)

    async def total_bytes(self) -> int:
        """What all logs take."""
        return await asyncio.to_thread(_size_of_files, self._place.folder)

    async def remove(self, logs: Sequence[EndedLog], excess: int | None = None) -> list[int]:
        """Let one line stand for each of these logs, in their order, until ``excess`` bytes are freed; for all of them without it.

        Returns:
            The bytes that were freed by each that was dealt with; 0 where a log was no larger than such a line, or could not be changed.
        """
        freed: list[int] = []
        for ended in logs:
            if excess is not None and sum(freed) >= excess:
                break
            freed.append(self._replace(ended))
        return freed

    def _replace(self, ended: EndedLog) -> int:
        path = self._place.of(ended.task_id)
        if not path.exists() or path.stat().st_size < _WORTH_BYTES:
            return 0
        self._let_go(ended.task_id)
        draft = LogDraft(1, self._clock.now(), "WARNING", ended.said, status=ended.state.value, is_last=True)
        try:
            return replace_content(path, draft)
        except OSError as error:
            self._trouble = _explain(error)
            return 0

    def _entry(self, task_id: str) -> _OpenLog:
        entry = self._open.get(task_id)
        if entry is None:
            entry = self._open[task_id] = _OpenLog(TaskLog(self._place.of(task_id), most_bytes=self._most_log_bytes))
            while len(self._open) > _MOST_OPEN:
                self._let_go(next(iter(self._open)))
        self._open.move_to_end(task_id)
        return entry

    def _let_go(self, task_id: str) -> None:
        entry = self._open.pop(task_id, None)
        if entry is not None:
            entry.log.close()
            entry.wake()

    def _prove_room(self) -> None:
        """Write something as large as a page of lines and take it away again; its success is the end of the trouble."""
        proof = self._place.folder / ".room"
        try:
            proof.write_bytes(bytes(_PROOF_BYTES))
            self._trouble = ""
        except OSError as error:
            self._trouble = _explain(error)
        finally:
            with contextlib.suppress(OSError):
                proof.unlink(missing_ok=True)


def _size_of_files(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # forgotten just now
                total += entry.stat().st_size
    return total


def _explain(error: OSError) -> str:
    return f"lines cannot be written ({error.strerror or error}); whoever has some keeps them and sends them again"
