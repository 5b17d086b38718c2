"""How many predictions there were, of which version, and where their time went.

Owns the counts of this process's life. Versions are those that requests were resolved to, so that no client can make up a line of
figures; those that are gone are left out when the figures are read.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from actors.online.orders import Timing

VersionKey = tuple[str, int]
#: The upper bounds of the classes, in seconds.
STAGE_BOUNDS_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
#: In pictures.
BATCH_BOUNDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
OK: Final = "ok"


class Distribution:
    """Values by class; ``counts`` has one more than the bounds, for those beyond them."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Take in one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


def _new_stages() -> dict[str, Distribution]:
    times = {name: Distribution(STAGE_BOUNDS_S) for name in ("queue_seconds", "preprocess_seconds", "forward_seconds")}
    return times | {"batch_size": Distribution(BATCH_BOUNDS)}


@dataclass(slots=True)
class VersionTally:
    """The counts of one version; they only grow."""

    outcomes: Counter[str] = field(default_factory=Counter)
    cache_hits: int = 0
    stages: dict[str, Distribution] = field(default_factory=_new_stages)


class PredictionTally:
    """The counts of all versions."""

    def __init__(self) -> None:
        self.versions: dict[VersionKey, VersionTally] = {}

    def count_answer(self, key: VersionKey, timing: Timing) -> None:
        """Take in an answer that was computed."""
        tally = self._of(key)
        tally.outcomes[OK] += 1
        tally.stages["queue_seconds"].add(timing.queue_s)
        tally.stages["preprocess_seconds"].add(timing.preprocess_s)
        tally.stages["forward_seconds"].add(timing.forward_s)
        for size in timing.batch_sizes:
            tally.stages["batch_size"].add(size)

    def count_hit(self, key: VersionKey) -> None:
        """Take in an answer that was there already."""
        tally = self._of(key)
        tally.outcomes[OK] += 1
        tally.cache_hits += 1

    def count_error(self, key: VersionKey, code: str) -> None:
        """Take in a prediction that ended without an answer."""
        self._of(key).outcomes[code] += 1

    def forget_others(self, known: Collection[VersionKey]) -> None:
        """Leave out the versions that are no longer registered."""
        for key in self.versions.keys() - known:
            del self.versions[key]

    def _of(self, key: VersionKey) -> VersionTally:
        tally = self.versions.get(key)
        if tally is None:
            tally = self.versions[key] = VersionTally()
        return tally
