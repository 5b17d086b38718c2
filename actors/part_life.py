"""How often each part of the service has begun, and why the watchdog ended it, as notes in ``STATE/run``.

A part that is ended again and again answers in between, so that whoever asks it finds nothing wrong: only what is written down here
shows it. Each file has one writer: a part notes its own starts, the watchdog the ends that it causes and the starts of the predictor's
replicas. The notes begin anew with each ``rfuav up``.
"""

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from actors.notes import read_note, write_note

#: So many starts and ends of each part are kept.
_KEPT: Final = 20
#: Restarts within this time count together, and from how many on they are a loop.
LOOP_WINDOW_S: Final = 600.0
LOOP_RESTARTS: Final = 3


@dataclass(frozen=True, slots=True)
class PartStart:
    """One beginning of a part; ``number`` counts from 1, the first since the service came up."""

    number: int
    at: float
    pid: int


@dataclass(frozen=True, slots=True)
class PartEnd:
    """One end that was caused on purpose, and why."""

    at: float
    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class PartLife:
    """What is known of one part, oldest first; empty where it keeps its notes elsewhere, or has not begun."""

    starts: tuple[PartStart, ...] = ()
    ends: tuple[PartEnd, ...] = ()

    @property
    def last_started_at(self) -> float | None:
        """When its present process took its place."""
        return self.starts[-1].at if self.starts else None

    @property
    def ended_at(self) -> float | None:
        """When its present process was ended on purpose; None where it was not."""
        for start in self.starts[-1:]:
            return next((end.at for end in reversed(self.ends) if end.pid == start.pid and end.at >= start.at), None)
        return None

    def restarts(self, now: float) -> int:
        """How often it began anew within the last ten minutes; its first start is no restart."""
        return sum(start.number > 1 and now - start.at <= LOOP_WINDOW_S for start in self.starts)

    def is_looping(self, now: float) -> bool:
        """Whether it restarts so often that something must be wrong with it."""
        return self.restarts(now) >= LOOP_RESTARTS

    def describe(self, now: float) -> str:
        """Its restarts in words for people, with the reason of the last where one is known; "" where there were none."""
        count = self.restarts(now)
        if not count:
            return ""
        times = "once" if count == 1 else f"{count} times"
        said = f"restarted {times} in the last {LOOP_WINDOW_S / 60:.0f} minutes"
        before = {start.pid for start in self.starts[-2:-1]}
        reasons = [end.reason for end in self.ends if end.pid in before]
        return f"{said}; {reasons[-1]}" if reasons else said


def note_start(state_dir: Path, name: str, *, pid: int, at: float) -> None:
    """Write down that a part has begun."""
    path = _starts(state_dir, name)
    known = _read(path, PartStart)
    start = PartStart(known[-1].number + 1 if known else 1, at, pid)
    write_note(path, [asdict(each) for each in (*known, start)[-_KEPT:]])


def note_end(state_dir: Path, name: str, *, pid: int, at: float, reason: str) -> None:
    """Write down why a part's process was ended."""
    path = _ends(state_dir, name)
    write_note(path, [asdict(each) for each in (*_read(path, PartEnd), PartEnd(at, pid, reason))[-_KEPT:]])


def read_life(state_dir: Path, name: str) -> PartLife:
    """What is written down of a part."""
    return PartLife(_read(_starts(state_dir, name), PartStart), _read(_ends(state_dir, name), PartEnd))


def forget_lives(state_dir: Path) -> None:
    """Begin anew: what an earlier service went through is no trouble of the next one."""
    for folder in (_starts(state_dir, "").parent, _ends(state_dir, "").parent):
        shutil.rmtree(folder, ignore_errors=True)


def _starts(state_dir: Path, name: str) -> Path:
    return state_dir / "run" / "starts" / f"{name}.json"


def _ends(state_dir: Path, name: str) -> Path:
    return state_dir / "run" / "ends" / f"{name}.json"


def _read(path: Path, kind: type[Any]) -> tuple[Any, ...]:
    try:
        return tuple(kind(**each) for each in read_note(path) or ())
    except TypeError:
        return ()
