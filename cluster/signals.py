"""Turns the signals that mean "stop" into an exception, so that every way to end runs through the same clean-up."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Final

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """Somebody wants this process to stop: a request, not an error, so that no handler for errors swallows it."""


@contextlib.contextmanager
def stop_as_exception() -> Iterator[None]:
    """Raise StopRequested in the main thread on Ctrl-C, SIGTERM and SIGHUP; the former handlers come back at the end."""
    with kept():
        for number in _STOP_SIGNALS:
            # nohup ignores SIGHUP so that what it starts outlives the terminal.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _raise_stop)
        yield


@contextlib.contextmanager
def deaf() -> Iterator[None]:
    """Ignore the stop signals: what runs inside takes a bounded time and must not be left half done."""
    with kept():
        for number in _STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        yield


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Bring the handlers back at the end: Ray installs its own when a driver connects, and the system's when it leaves."""
    former = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _raise_stop(_number: int, _frame: FrameType | None) -> None:
    raise StopRequested
