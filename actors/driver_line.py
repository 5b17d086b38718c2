"""The requests of users' drivers in the waiting line: who still asks for them.

An attempt's request lasts as long as its task, whatever becomes of the supervisor. A driver's has only the driver: it repeats its request
while it waits, and one that has been silent for too long is gone. Reads no clock.
"""

from collections.abc import Container

from actors.core.model import HolderKind, LeaseRequest


class DriverLine:
    """When each waiting driver was heard last.

    Invariant: after ``next_silent`` only requests that are in line are known here.
    """

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._heard: dict[str, float] = {}

    def note(self, request: LeaseRequest, now: float) -> None:
        """A request was made, or repeated."""
        if request.holder is HolderKind.DRIVER:
            self._heard[request.request_id] = now

    def next_silent(self, waiting: Container[str], now: float) -> str | None:
        """A driver's request in line that nobody has repeated for too long.

        One at a time: while it is taken out of the line, others may be repeated, or granted.
        """
        self._heard = {request_id: at for request_id, at in self._heard.items() if request_id in waiting}
        return next((request_id for request_id, at in self._heard.items() if now - at > self._silence_s), None)
