"""A thread that writes while the training goes on.

Owns that one piece is written at a time, and that no failure is lost. It does not know what is written.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


class BackgroundWriter:
    """Runs one piece of writing at a time in a thread of its own.

    At most one piece is in flight: handing over the next waits for it. A failure is raised to whoever hands over the
    next piece, or waits; nothing is handed over after it.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._in_flight: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # After another error the write in flight is still finished, but its own failure would hide the first.
        self._pool.shutdown(wait=True)
        if kind is None:
            self.wait()

    @property
    def is_idle(self) -> bool:
        """Whether handing over would not have to wait."""
        return self._in_flight is None or self._in_flight.done()

    def hand_over(self, write: Callable[[], None]) -> None:
        """Run ``write`` in the background, after the piece before it is done."""
        self.wait()
        self._in_flight = self._pool.submit(write)

    def wait(self) -> None:
        """Wait until nothing is in flight, and raise what went wrong."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None:
            in_flight.result()
