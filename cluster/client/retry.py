"""How patient a client is: how often it asks again, and how long it pauses in between. Pure: the clock and the dice are handed in."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a call is repeated by itself, where repeating does no harm.

    Pauses double from ``first_s`` to ``most_s``, each shortened by chance to as little as half, so that many clients that lost the
    same service do not come back at the same moment. A Retry-After of the service counts where it is longer.

    Attributes:
        attempts: of one call, the first included; streams go by their patience alone.
        first_s: the first pause.
        most_s: the longest pause of our own choice.
        patience_s: no pause begins that would end later than so long after the first attempt.
        stream_patience_s: the same for streams and waiting, counted from when the service last answered: a restart takes a while.
    """

    attempts: int = 5
    first_s: float = 0.25
    most_s: float = 8.0
    patience_s: float = 60.0
    stream_patience_s: float = 300.0

    def for_streams(self) -> "Retry":
        """The same for what goes on over a restart of the service."""
        return replace(self, attempts=10**6, patience_s=self.stream_patience_s)


#: Nothing is repeated, except that a stream that was open is opened again.
NEVER = Retry(attempts=1)


@dataclass(frozen=True, slots=True)
class Manner:
    """What every flow needs to know beside its own arguments.

    Attributes:
        url: of the service, for errors.
        retry: how patient to be.
        clock: tells seconds.
        draw: the dice, from 0 to 1.
        has_answered: the service was seen at this address, so a proxy that does not know its routes waits for it to start again.
        deadline: the time by which everything must have come to an end; None where nobody set one.
    """

    url: str
    retry: Retry
    clock: Callable[[], float]
    draw: Callable[[], float] = random.random
    has_answered: bool = False
    deadline: float | None = None

    def patiently(self, *, has_answered: bool = False) -> "Manner":
        """The same with the patience of streams."""
        return replace(self, retry=self.retry.for_streams(), has_answered=has_answered)

    def within(self, patience_s: float | None) -> "Manner":
        """The same with less patience, where one is given."""
        if patience_s is None:
            return self
        return replace(self, retry=replace(self.retry, patience_s=min(patience_s, self.retry.patience_s)))

    def left_s(self) -> float | None:
        """How long it is until the deadline, never less than nothing; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock())


class Tries:
    """Counts the failures of one thing in a row, and says how long to pause after each."""

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self.succeeded()

    def succeeded(self) -> None:
        """Begin anew: the service answered."""
        self._failures = 0
        self._began_at = self._manner.clock()

    def pause_s(self, retry_after_s: float | None = None) -> float | None:
        """How long to pause after one more failure; None where it is time to give up."""
        retry = self._manner.retry
        self._failures += 1
        if self._failures >= retry.attempts:
            return None
        longest = min(retry.most_s, retry.first_s * 2.0 ** min(self._failures - 1, 30))
        pause = max(longest * (1 - self._manner.draw() / 2), retry_after_s or 0.0)
        left_s = self._manner.left_s()
        is_too_late = self._manner.clock() + pause - self._began_at > retry.patience_s
        return None if is_too_late or (left_s is not None and pause > left_s) else pause
