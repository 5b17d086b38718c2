"""Waiting for a fact with a deadline, never for a guess of how long it takes."""

import time


def wait_for(fact, *, deadline_s=60.0, every_s=0.05, what="it"):
    """Return the first true value of ``fact()``; fail when the deadline passes."""
    end = time.monotonic() + deadline_s
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen within {deadline_s} s; last value: {value!r}")
        time.sleep(every_s)
