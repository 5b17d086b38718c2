"""How busy the processor of this node is, measured from one reading to the next."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

#: Readings closer together than this share one figure: /proc counts in hundredths of a second.
SHORTEST_INTERVAL_S = 0.2

CoreTimes = tuple[float, float]
"""Seconds that a core was busy, and all seconds it had, since the machine started."""


def read_core_times() -> list[CoreTimes]:
    """The clock of every logical core."""
    cores = psutil.cpu_times(percpu=True)
    # guest time is counted in user time already; iowait is idle time with a reason.
    return [(sum(core[:8]) - core.idle - getattr(core, "iowait", 0.0), sum(core[:8])) for core in cores]


@dataclass(frozen=True, slots=True)
class CpuReading:
    """The processor now. ``load_avg`` is over 1, 5 and 15 minutes; ``freq_mhz`` is 0 where unknown."""

    per_cpu_percent: tuple[float, ...]
    physical_cores: int
    freq_mhz: float
    load_avg: tuple[float, float, float]
    memory_percent: float

    @property
    def percent(self) -> float:
        """All cores together."""
        return round(sum(self.per_cpu_percent) / len(self.per_cpu_percent), 1)


class CpuMeter:
    """Keeps the last reading; not for use from several threads at once (a lost update would only repeat a figure)."""

    def __init__(self, read: Callable[[], list[CoreTimes]] = read_core_times, clock: Callable[[], float] = time.monotonic) -> None:
        self._read_times = read
        self._clock = clock
        self._times = read()
        self._read_at = clock()
        self._percent = tuple(0.0 for _ in self._times)

    def read(self) -> CpuReading:
        """Measure since the last reading. Reads a few files of /proc and /sys: call it in a thread."""
        if self._clock() - self._read_at >= SHORTEST_INTERVAL_S:
            self._advance()
        frequency = psutil.cpu_freq()
        return CpuReading(
            per_cpu_percent=self._percent,
            physical_cores=psutil.cpu_count(logical=False) or len(self._percent),
            freq_mhz=round(frequency.current, 1) if frequency else 0.0,
            load_avg=os.getloadavg(),
            memory_percent=psutil.virtual_memory().percent,
        )

    def _advance(self) -> None:
        times = self._read_times()
        # A core that came up since has no earlier reading.
        before = self._times if len(self._times) == len(times) else [(0.0, 0.0)] * len(times)
        self._percent = tuple(_busy_percent(old, new) for old, new in zip(before, times, strict=True))
        self._times, self._read_at = times, self._clock()


def _busy_percent(before: CoreTimes, after: CoreTimes) -> float:
    passed = after[1] - before[1]
    return round(min(100.0, max(0.0, 100 * (after[0] - before[0]) / passed)), 1) if passed > 0 else 0.0
