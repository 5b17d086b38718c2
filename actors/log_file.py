"""The log of one task as a file of JSON lines: one writer, and what a crash or a full disk may do to it.

Owns the numbering of the lines and the bound of the file. Knows nothing of tasks, of readers that wait, or of who is allowed to write.
"""

import json
import os
import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from errno import ENOSPC
from pathlib import Path
from typing import Any, Final

from actors.messages import LogDraft, LogLine, LogSlice

#: The source of what the log says about itself; no attempt and no supervisor has this name.
_OWN: Final = "log"
_FINAL_STATES: Final = frozenset({"completed", "failed", "cancelled"})
#: What is kept of a log that has reached its bound, beside its last line.
_GRAVE: Final = frozenset({"WARNING", "ERROR"})
#: How every line begins: its number, its source as JSON, and its number within the source.
_HEAD: Final = re.compile(rb'\{"seq":(\d+),"source":("[^"\\]*(?:\\.[^"\\]*)*"),"index":(\d+),')
#: What only a last line holds; within a message the quotes would have backslashes.
_LAST_MARK: Final = b'"is_last":true'


@dataclass(slots=True)
class _Page:
    """Lines on their way into the file. They count for the log only once they are written: a full disk may refuse them."""

    seq: int
    end: int
    data: bytearray = field(default_factory=bytearray)
    ends: list[int] = field(default_factory=list)
    last_of: dict[str, int] = field(default_factory=dict)
    is_complete: bool = False

    def add(self, source: str, draft: LogDraft) -> None:
        """Give a draft the next number."""
        self.seq += 1
        line = _encode(self.seq, source, draft)
        self.data += line
        self.end += len(line)
        self.ends.append(self.end)
        self.pass_over(source, draft)
        self.is_complete = draft.is_last and draft.status in _FINAL_STATES

    def pass_over(self, source: str, draft: LogDraft) -> None:
        """Take note of a draft that was dealt with."""
        self.last_of[source] = draft.index


class TaskLog:
    """The log of one task on disk, with the position of every line in memory.

    Invariant: ``_ends[i]`` is where line i + 1 ends in the file, and nothing else is in the file; both change together or, where the
    disk refuses, not at all. The file is made by the first line: asking for a log that nobody has written makes none.
    """

    def __init__(self, path: Path, *, most_bytes: int = 0) -> None:
        """Read what there is.

        Args:
            path: the file.
            most_bytes: beyond this size only warnings, errors and the last line are kept; 0 for no bound.
        """
        self._path = path
        self._most_bytes = most_bytes
        self._ends = array("Q")
        self._last_of: dict[str, int] = {}
        self.is_complete = False
        self._file: int | None = None
        if path.exists():
            self._file = os.open(path, os.O_RDWR | os.O_APPEND)
            self._recover(self._file)

    def append(self, source: str, drafts: Sequence[LogDraft]) -> int:
        """Write the drafts of a source that are new; returns the last sequence number.

        Nothing follows the last line of an ended task: what a late attempt still says is dropped.

        Raises:
            OSError: the disk takes nothing; the log is as it was, and the same drafts may be sent again.
        """
        page = self._compose(source, drafts)
        if page.data:
            self._write(page.data)
        self._ends.extend(page.ends)
        self._last_of |= page.last_of
        self.is_complete = self.is_complete or page.is_complete
        return self.last_seq

    def read(self, after: int, limit: int) -> LogSlice:
        """Up to ``limit`` lines with a sequence number above ``after``."""
        first, last = max(0, after), min(len(self._ends), max(0, after) + limit)
        if self._file is None or first >= last:
            return LogSlice((), self.is_complete and after >= len(self._ends))
        begin = self._ends[first - 1] if first else 0
        data = os.pread(self._file, self._ends[last - 1] - begin, begin)
        lines = tuple(_decode(line) for line in data.splitlines())
        return LogSlice(lines, self.is_complete and last == len(self._ends))

    def close(self) -> None:
        """Close the file; the log is read from disk again when it is wanted again."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    @property
    def last_seq(self) -> int:
        """The number of the last line; 0 for none."""
        return len(self._ends)

    @property
    def _size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _compose(self, source: str, drafts: Sequence[LogDraft]) -> _Page:
        """The new ones of the drafts as lines; beyond the bound only those that matter, after one that says so."""
        page = _Page(len(self._ends), self._size, is_complete=self.is_complete)
        for draft in drafts:
            if page.is_complete or draft.index <= max(self._last_of.get(source, 0), page.last_of.get(source, 0)):
                continue
            if self._most_bytes and page.end >= self._most_bytes:
                if _OWN not in self._last_of and _OWN not in page.last_of:
                    page.add(_OWN, self._bound_reached(draft.at))
                if not (draft.is_last or draft.level in _GRAVE):
                    page.pass_over(source, draft)
                    continue
            page.add(source, draft)
        return page

    def _bound_reached(self, at: float) -> LogDraft:
        size = f"{self._most_bytes / 2**20:g} MB"
        said = f"this log has reached {size} (RFUAV_MAX_LOG_MB); from here on it holds only warnings, errors and its last line"
        return LogDraft(1, at, "WARNING", said)

    def _write(self, data: bytes | bytearray) -> None:
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            if os.write(self._file, data) != len(data):
                raise OSError(ENOSPC, os.strerror(ENOSPC), str(self._path))  # noqa: TRY301 - a short write is a full disk
        except OSError:
            os.ftruncate(self._file, self._size)
            raise

    def _recover(self, file: int) -> None:
        """Read the positions back from disk; what a crash left behind the last whole line is removed."""
        last_of: dict[bytes, bytes] = {}
        for end, source, index, is_over in _whole_lines(self._path):
            self._ends.append(end)
            last_of[source] = index
            self.is_complete = self.is_complete or is_over
        self._last_of = {json.loads(source): int(index) for source, index in last_of.items()}
        os.ftruncate(file, self._size)


def sync(path: Path) -> None:
    """Wait until a file's content would survive a power cut; a file that was deleted meanwhile needs nothing.

    Raises:
        OSError: the disk fails.
    """
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        os.fdatasync(file)
    finally:
        os.close(file)


def replace_content(path: Path, said: LogDraft) -> int:
    """Let one line stand for a whole log, in the file's own place: this must work on a disk that is full.

    A crash in the middle leaves that line and a rest, which does not go on with its number and so is removed by the next reading.

    Returns:
        The bytes that were freed; 0 where the line is no shorter than the log.

    Raises:
        OSError: the file is as it was, or holds the line already.
    """
    line = _encode(1, _OWN, said)
    file = os.open(path, os.O_RDWR)
    try:
        before = os.fstat(file).st_size
        if before <= len(line):
            return 0
        os.pwrite(file, line, 0)
        os.ftruncate(file, len(line))
        return before - len(line)
    finally:
        os.close(file)


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes, bytes, bool]]:
    """The lines of a log, up to the first that is cut short, damaged, or not the next one.

    A log may have a million lines, so only the last one, which a crash may have cut short, and the end of the task are read as JSON.

    Yields:
        Where the line ends in the file, its source as JSON, its number within the source, and whether the task ended with it.
    """
    end = 0
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        for number, line in enumerate(file, start=1):
            end += len(line)
            head = _HEAD.match(line)
            if head is None or int(head[1]) != number or not line.endswith(b"}\n") or b"\0" in line:
                return
            record = _load(line) if end == size or _LAST_MARK in line else {}
            if record is None:
                return
            yield end, head[2], head[3], bool(record.get("is_last")) and record.get("status") in _FINAL_STATES


def _load(line: bytes) -> Mapping[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


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
