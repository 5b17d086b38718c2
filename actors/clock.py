"""The one place that reads the time for the actors; tests bring their own."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where the shells get ``now`` from, to hand it to the core."""

    def now(self) -> float:
        """Seconds since the epoch."""


class SystemClock:
    """The machine's clock, never running backwards within one process."""

    def __init__(self) -> None:
        self._latest = 0.0

    def now(self) -> float:
        """Seconds since the epoch, at least the value returned last."""
        self._latest = max(self._latest, time.time())
        return self._latest
