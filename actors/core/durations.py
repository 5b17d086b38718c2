"""How long work takes, learnt from work that came to its end. Pure; the shell keeps what was learnt."""

from collections import deque
from collections.abc import Iterable, Mapping
from statistics import median
from typing import NamedTuple

from actors.core.model import DeviceKind, WorkKind

#: So many of the latest durations of one kind count.
_REMEMBERED = 20


class DurationKey(NamedTuple):
    """What is taken to last equally long: the same profile (a model's name) of the same work on the same kind of device."""

    kind: DeviceKind
    work: WorkKind
    profile: str


class Durations:
    """The latest durations in seconds, by key.

    Invariant: at most ``_REMEMBERED`` of each, oldest first; ``_medians`` holds the median of each key that has any.
    """

    def __init__(self, known: Mapping[DurationKey, Iterable[float]] | None = None) -> None:
        self._seen: dict[DurationKey, deque[float]] = {
            key: deque(durations, _REMEMBERED) for key, durations in (known or {}).items()
        }
        self._medians = {key: median(seen) for key, seen in self._seen.items() if seen}

    def learn(self, key: DurationKey, duration_s: float) -> tuple[float, ...]:
        """Take in one more; returns all that count now."""
        seen = self._seen.setdefault(key, deque(maxlen=_REMEMBERED))
        seen.append(duration_s)
        self._medians[key] = median(seen)
        return tuple(seen)

    def dump(self) -> list[tuple[DurationKey, tuple[float, ...]]]:
        """Everything that counts, to be kept."""
        return [(key, tuple(seen)) for key, seen in self._seen.items()]

    def expected(self, key: DurationKey) -> float | None:
        """The median of what was measured; None where nothing was."""
        return self._medians.get(key)
