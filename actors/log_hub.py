"""The logs of all tasks: one writer, any number of readers, each from its own position.

Every line has a sequence number within its task, from 1 without gaps, and is in its file before it is answered for: it survives the end
of any process. The system brings it to the disk some seconds later, so a power cut may take the last lines of a task that runs; the log of
a task that ended is brought to the disk before its last line is answered for. A source (an attempt, or the supervisor) numbers its own
lines too, so that lines which are sent again after a lost answer, or after a disk that was full for a while, are not written twice.
"""

import asyncio
import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from actors.clock import SystemClock
from actors.log_file import TaskLog, replace_content, sync
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


class _Followers:
    """Who waits for the next line of which log, whether the log is open or not.

    Invariant: nothing is kept of a log that nobody waits for.
    """

    def __init__(self) -> None:
        self._events: WeakValueDictionary[str, asyncio.Event] = WeakValueDictionary()

    async def wait(self, task_id: str, wait_s: float) -> bool:
        """Wait for something new in a log; False where the time was up first."""
        event = self._events.setdefault(task_id, asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), wait_s)
        except TimeoutError:
            return False
        return True

    def wake(self, task_id: str) -> None:
        """Let those who wait for a log look at it."""
        event = self._events.pop(task_id, None)
        if event is not None:
            event.set()


class LogHub:
    """The only writer of task logs. Every method is one message; none blocks for longer than a small write to disk.

    Invariant: a log is read back from disk, deleted or replaced only by who holds its lock, and written to only while it is among the open.
    """

    def __init__(self, state_dir: Path, most_log_bytes: int = 0) -> None:
        announce(state_dir, LOG_HUB)
        self._clock = SystemClock()
        self._most_log_bytes = most_log_bytes
        self._place = _Place(state_dir / "logs" / "tasks")
        self._place.folder.mkdir(parents=True, exist_ok=True)
        self._open: OrderedDict[str, TaskLog] = OrderedDict()
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._followers = _Followers()
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
        log = await self._log(task_id)
        before, was_complete = log.last_seq, log.is_complete
        try:
            last = log.append(source, drafts)
            if last > before:
                self._followers.wake(task_id)
            if log.is_complete and not was_complete:
                await asyncio.to_thread(sync, self._place.of(task_id))
        except OSError as error:
            self._trouble = _explain(error)
            raise
        self._trouble = ""
        return last

    async def read(self, task_id: str, after: int = 0, limit: int = 1000, wait_s: float = 0.0) -> LogSlice:
        """Lines above ``after``, at most ``limit``; waits up to ``wait_s`` for the first where there is none yet."""
        answer = (await self._log(task_id)).read(after, limit)
        if answer.lines or answer.is_complete or wait_s <= 0:
            return answer
        if not await self._followers.wait(task_id, wait_s):
            return answer
        return (await self._log(task_id)).read(after, limit)

    async def forget(self, task_id: str) -> None:
        """Delete a task's log."""
        async with self._lock(task_id):
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
            async with self._lock(ended.task_id):
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

    async def _log(self, task_id: str) -> TaskLog:
        """The log of a task. It stays open until the caller waits for something, and no longer for sure."""
        if task_id not in self._open:
            async with self._lock(task_id):
                if task_id not in self._open:  # nobody else has opened it meanwhile
                    # In a thread: a log of hundreds of megabytes takes seconds to read.
                    log = await asyncio.to_thread(TaskLog, self._place.of(task_id), most_bytes=self._most_log_bytes)
                    self._open[task_id] = log
                    while len(self._open) > _MOST_OPEN:
                        self._close(next(iter(self._open)))
        self._open.move_to_end(task_id)
        return self._open[task_id]

    def _lock(self, task_id: str) -> asyncio.Lock:
        return self._locks.setdefault(task_id, asyncio.Lock())

    def _close(self, task_id: str) -> None:
        log = self._open.pop(task_id, None)
        if log is not None:
            log.close()

    def _let_go(self, task_id: str) -> None:
        """Close a log that is about to be another one, and let those who follow it see that."""
        self._close(task_id)
        self._followers.wake(task_id)

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
