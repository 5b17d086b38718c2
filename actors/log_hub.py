"""The logs of all tasks: one writer, any number of readers, each from its own position.

Every line has a sequence number within its task, from 1 without gaps, and is on disk before it is answered for. A source (an
attempt, or the supervisor) numbers its own lines too, so that lines which are sent again after a lost answer are not written twice.
"""

import asyncio
import hashlib
import json
import os
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.clock import SystemClock
from actors.messages import LogDraft, LogLine, LogSlice
from actors.names import LOG_HUB
from actors.presence import announce
from actors.start import begun_anew

#: So many logs are kept open; others are read again from disk when somebody asks.
_MOST_OPEN = 512
_FINAL_STATES = frozenset({"completed", "failed", "cancelled"})


class TaskLog:
    """The log of one task on disk, with the position of every line in memory.

    Invariant: ``_ends[i]`` is where line i + 1 ends in the file; nothing else is in the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ends = array("Q")
        self._last_of: dict[str, int] = {}
        self.is_complete = False
        self.changed = asyncio.Event()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        self._recover()

    def append(self, source: str, drafts: Sequence[LogDraft]) -> int:
        """Write the drafts of a source that are new; returns the last sequence number.

        Nothing follows the last line of an ended task: what a late attempt still says is dropped.
        """
        chunks = []
        seq, end = len(self._ends), self._size
        for draft in drafts:
            if self.is_complete or draft.index <= self._last_of.get(source, 0):
                continue
            seq += 1
            data = _encode(seq, source, draft)
            end += len(data)
            chunks.append(data)
            self._ends.append(end)
            self._note(source, draft.index, draft.status if draft.is_last else None)
        if chunks:
            self._write(b"".join(chunks), len(chunks))
        return seq

    def read(self, after: int, limit: int) -> LogSlice:
        """Up to ``limit`` lines with a sequence number above ``after``."""
        first, last = max(0, after), min(len(self._ends), max(0, after) + limit)
        if first >= last:
            return LogSlice((), self.is_complete and after >= len(self._ends))
        begin = self._ends[first - 1] if first else 0
        data = os.pread(self._file, self._ends[last - 1] - begin, begin)
        lines = tuple(_decode(line) for line in data.splitlines())
        return LogSlice(lines, self.is_complete and last == len(self._ends))

    def close(self) -> None:
        """Close the file; the log is read from disk again when it is wanted again."""
        os.close(self._file)

    @property
    def _size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _write(self, data: bytes, count: int) -> None:
        try:
            written = os.write(self._file, data)
            if written != len(data):
                raise OSError(28, "No space left on device")  # noqa: TRY301 - a short write is a full disk
        except OSError:
            del self._ends[-count:]
            os.ftruncate(self._file, self._size)
            self._reload()
            raise
        self.changed.set()
        self.changed = asyncio.Event()

    def _reload(self) -> None:
        self._ends, self._last_of, self.is_complete = array("Q"), {}, False
        self._recover()

    def _recover(self) -> None:
        """Read the positions back from disk; a last line that a crash cut short is removed."""
        end = 0
        with self._path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    record = None
                if record is None:
                    break
                end += len(line)
                self._ends.append(end)
                self._note(record["source"], record["index"], record.get("status") if record.get("is_last") else None)
        os.ftruncate(self._file, end)

    def _note(self, source: str, index: int, final_status: str | None) -> None:
        self._last_of[source] = index
        self.is_complete = self.is_complete or final_status in _FINAL_STATES


def _encode(seq: int, source: str, draft: LogDraft) -> bytes:
    record: dict[str, Any] = {"seq": seq, "source": source, "index": draft.index, "at": draft.at, "level": draft.level}
    record["message"] = draft.message
    optional: Mapping[str, Any] = {
        "stage": draft.stage,
        "step": draft.step,
        "metrics": dict(draft.metrics) if draft.metrics else None,
        "status": draft.status,
        "progress": draft.progress,
        "is_last": draft.is_last or None,
    }
    record |= {name: value for name, value in optional.items() if value is not None}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def _decode(line: bytes) -> LogLine:
    record = json.loads(line)
    return LogLine(
        seq=record["seq"],
        at=record["at"],
        level=record["level"],
        message=record["message"],
        stage=record.get("stage"),
        step=record.get("step"),
        metrics=record.get("metrics"),
        status=record.get("status"),
        progress=record.get("progress"),
    )


@dataclass(frozen=True, slots=True)
class _Place:
    """Where logs are: the file name is a digest, since a task's id is the user's and no file name of ours."""

    folder: Path

    def of(self, task_id: str) -> Path:
        return self.folder / f"{hashlib.sha256(task_id.encode()).hexdigest()[:32]}.jsonl"


class LogHub:
    """The only writer of task logs. Every method is one message; none blocks for longer than a small write to disk."""

    @begun_anew
    def __init__(self, state_dir: Path) -> None:
        announce(state_dir, LOG_HUB)
        self._clock = SystemClock()
        self._place = _Place(state_dir / "logs" / "tasks")
        self._place.folder.mkdir(parents=True, exist_ok=True)
        self._open: OrderedDict[str, TaskLog] = OrderedDict()

    async def ping(self) -> float:
        """Answer with the time, to show that the hub is alive."""
        return self._clock.now()

    async def append(self, task_id: str, source: str, drafts: Sequence[LogDraft]) -> int:
        """Write what is new of a source's lines; returns the last sequence number. Sending again is harmless."""
        return self._log(task_id).append(source, drafts)

    async def read(self, task_id: str, after: int = 0, limit: int = 1000, wait_s: float = 0.0) -> LogSlice:
        """Lines above ``after``, at most ``limit``; waits up to ``wait_s`` for the first where there is none yet."""
        log = self._log(task_id)
        answer = log.read(after, limit)
        if answer.lines or answer.is_complete or wait_s <= 0:
            return answer
        try:
            await asyncio.wait_for(log.changed.wait(), wait_s)
        except TimeoutError:
            return answer
        return self._log(task_id).read(after, limit)

    async def forget(self, task_id: str) -> None:
        """Delete a task's log."""
        log = self._open.pop(task_id, None)
        if log is not None:
            log.close()
            log.changed.set()
        self._place.of(task_id).unlink(missing_ok=True)

    def _log(self, task_id: str) -> TaskLog:
        log = self._open.get(task_id)
        if log is None:
            log = TaskLog(self._place.of(task_id))
            self._open[task_id] = log
            self._close_oldest()
        self._open.move_to_end(task_id)
        return log

    def _close_oldest(self) -> None:
        while len(self._open) > _MOST_OPEN:
            _, oldest = self._open.popitem(last=False)
            oldest.close()
            oldest.changed.set()
