"""Carrying faults out on a service that runs, and noting what was struck, and when."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from actors import presence
from actors.names import INGRESS, PREDICTOR
from cluster.processes import find_processes, instance_mark
from tests.chaos.fault_plan import SINGLE_PARTS, Fault
from tests.service.driving import is_alive, is_attempt
from tests.service.two_nodes import TwoNodes, join, kill_node, raylets, wait_until
from tests.small_disk import fill_up

#: How long a part may take to be there again before the next fault can strike it.
_THERE_S = 90.0
#: A node that joins asks the accountant, which may be struck meanwhile; whoever started it tries again.
_JOIN_TRIES = 4


@dataclass(frozen=True)
class Struck:
    """What became of a fault.

    Attributes:
        fault: as planned.
        at: when it struck, in seconds of the monotonic clock.
        until: when its cause was over; the same moment for what nobody ends.
        process: whom it struck, None for a disk.
    """

    fault: Fault
    at: float
    until: float
    process: psutil.Process | None = None

    @property
    def is_outlived(self) -> bool:
        """Whether a process that was stopped is still there: nobody has replaced it."""
        return self.process is not None and is_alive(self.process)


class Striker:
    """Strikes a service on two nodes, one fault after the other. Invariant: the joined node is there, or on its way back."""

    def __init__(self, two: TwoNodes, disk: Path | None, when_full: Callable[[], None]) -> None:
        """``when_full`` is called while the disk is full."""
        self._two = two
        self._disk = disk
        self._when_full = when_full
        self._pool = ThreadPoolExecutor(1)
        self._joining: Future[int] | None = None
        self.struck: list[Struck] = []
        self.join_tries: list[int] = []

    def strike(self, fault: Fault) -> Struck:
        """Carry out one fault."""
        if fault.kind == "lose":
            struck = self._lose_node(fault)
        elif fault.kind == "fill":
            struck = self._fill_disk(fault)
        else:
            process = self._choose(fault.part, fault.choice)
            (process.kill if fault.kind == "kill" else process.suspend)()
            now = time.monotonic()
            struck = Struck(fault, now, now, process)
        self.struck.append(struck)
        return struck

    def settle(self) -> None:
        """Wait until the joined node is back and every stopped process is replaced."""
        self._await_node()
        self._pool.shutdown()
        wait_until(lambda: not [each for each in self.struck if each.is_outlived], _THERE_S)

    def _lose_node(self, fault: Fault) -> Struck:
        self._await_node()
        (raylet,) = raylets(self._two.other)
        at = kill_node(self._two.other)
        self._joining = self._pool.submit(self._join)
        return Struck(fault, at, at, raylet)

    def _join(self) -> int:
        for tries in range(1, _JOIN_TRIES + 1):
            joined = join(self._two)
            if joined.returncode == 0:
                return tries
        raise AssertionError(joined.stdout + joined.stderr)

    def _await_node(self) -> None:
        if self._joining is not None:
            self.join_tries.append(self._joining.result())
            self._joining = None

    def _fill_disk(self, fault: Fault) -> Struck:
        assert self._disk is not None
        at = time.monotonic()
        ballast = fill_up(self._disk)
        try:
            if fault.victim:
                self._choose(fault.victim, fault.choice).kill()
            while time.monotonic() < at + fault.lasts_s:
                self._when_full()
        finally:
            ballast.unlink()
        return Struck(fault, at, time.monotonic())

    def _choose(self, part: str, choice: float) -> psutil.Process:
        """A live process of a part, waited for where there is none right now; an ingress must have answered since it began."""
        found: list[psutil.Process] = []

        def look() -> bool:
            found[:] = self._find(part)
            return bool(found)

        if part == INGRESS:
            wait_until(self._answers, _THERE_S)
        wait_until(look, _THERE_S)
        return found[int(choice * len(found))]

    def _answers(self) -> bool:
        try:
            headers = {"X-API-Key": self._two.key}
            return httpx.get(f"{self._two.url}/api/v1/info", headers=headers, timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def _find(self, part: str) -> list[psutil.Process]:
        if part in SINGLE_PARTS:
            noted = presence.find(self._two.head, part)
            process = noted.process() if noted else None
            return [process] if process is not None and process.status() != psutil.STATUS_STOPPED else []
        is_wanted = is_attempt if part == "attempt" else _is_replica
        everyone = [each for state_dir in (self._two.head, self._two.other) for each in find_processes(instance_mark(state_dir))]
        return [each for each in everyone if is_wanted(each) and _is_running(each)]


def _is_replica(process: psutil.Process) -> bool:
    try:
        return any(f"ServeReplica:{PREDICTOR}" in part for part in process.cmdline())
    except psutil.Error:
        return False


def _is_running(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
