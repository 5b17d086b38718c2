"""Which replicas of the predictor took the place of others that had died, noted down like the starts of the other parts.

Replicas come and go as Serve likes, and leave no notes themselves: one that dies again and again beside one that is well would show
nowhere. Decides by what the accountant tells and whether processes live; never asks Serve.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from actors.messages import ReplicaReport, ReplicaStanding
from actors.names import PREDICTOR
from actors.part_life import note_end, note_start, read_life

#: A replica that begins within this time after another's end takes its place: Serve waits up to a minute before it tries again.
_SUCCESSION_S: Final = 120.0


class ReplicaNotes:
    """Writes the predictor's starts: the first replica, and each that follows on one that died.

    Serve does not say why a replica ended. So one that Serve ended for want of load, and another that it started for new load within
    two minutes, count as a restart too; one that is started beside those that live never does.

    Invariant: each end is followed by one start at most.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._living: dict[str, ReplicaReport] | None = None
        self._gone_at: dict[str, float] = {}
        self._open: set[str] = set()

    def look(self, standings: Sequence[ReplicaStanding], *, now: float) -> None:
        """Take in what the accountant tells now."""
        here = {each.report.replica_id: each.report for each in standings}
        # A watchdog that has just begun does not know who is new.
        before = here if self._living is None else self._living
        new = [each for name, each in here.items() if name not in before and name not in self._gone_at]
        self._miss(before, here, now)
        for report in new:
            if self._open:
                self._open.remove(min(self._open, key=self._gone_at.__getitem__))
                self._note_start(report, now)
        if here and not read_life(self._state_dir, PREDICTOR).starts:
            self._note_start(next(iter(here.values())), now)
        self._living = {name: each for name, each in before.items() if name not in self._gone_at} | here

    def note_ended(self, reports: Iterable[ReplicaReport], reason: str, *, now: float) -> None:
        """Write down why replicas were ended."""
        for report in reports:
            note_end(self._state_dir, PREDICTOR, pid=report.presence.pid, at=now, reason=reason)

    def _miss(self, before: Mapping[str, ReplicaReport], here: Container[str], now: float) -> None:
        """Remember since when those are missed whose process is gone. One of another machine may only be away: it may come back."""
        for name, report in before.items():
            if name not in here and report.presence.process() is None:
                self._gone_at[name] = now
                self._open.add(name)
        self._gone_at = {name: at for name, at in self._gone_at.items() if name not in here and now - at <= _SUCCESSION_S}
        self._open &= self._gone_at.keys()

    def _note_start(self, report: ReplicaReport, now: float) -> None:
        note_start(self._state_dir, PREDICTOR, pid=report.presence.pid, at=now)
