"""Forward passes in a thread of their own, in batches of whatever waits.

Owns who goes next: the version whose picture has waited longest, with up to a batch of its pictures. Nothing waits for a batch to fill
unless that is wished: while a batch is computed the next one gathers by itself. Knows nothing of requests, files or what a version is.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.core.errors import DeadlineExceededError, PredictionError
from actors.online.loading import Input

#: A pass that takes longer, and so much more for each of its inputs, does not end any more. Callers without a deadline have gone by then,
#: and the largest network stays below it on a slow CPU.
MOST_PASS_S: Final = 60.0
_MOST_INPUT_S: Final = 5.0


class Computes(Protocol):
    """What pictures are computed by; the same object for those that may share a batch."""

    def forward(self, inputs: Sequence[Input]) -> NDArray[np.float32]:
        """Compute rows of probabilities for inputs of one kind."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """One forward pass: the inputs that shared it, and how long it took."""

    size: int
    forward_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """The answer for one input: its probabilities, how long it waited, and the pass that it was part of."""

    probabilities: NDArray[np.float32]
    queue_s: float
    shared: Pass


@dataclass(slots=True)
class _Item:
    """An input on its way. Whoever cancels ``answer`` before the pass begins takes it out."""

    inputs: Input
    deadline: float | None
    queued_at: float
    answer: "Future[Row]" = field(default_factory=Future)

    def begin(self, now: float) -> bool:
        """Take it up, unless it is cancelled or late."""
        if not self.answer.set_running_or_notify_cancel():
            return False
        if self.deadline is not None and now >= self.deadline:
            self.answer.set_exception(DeadlineExceededError("the deadline passed before the forward pass; the work was dropped"))
            return False
        return True


#: Items may share a pass if one network computes them and they are of one kind: pixels or values.
_Key = tuple[Computes, bool]


class Batcher:
    """Computes inputs in batches.

    Invariant: one forward pass runs at a time, on this object's thread; a line that is in ``_lines`` holds an item.
    """

    def __init__(
        self,
        *,
        threads: int,
        max_batch: int,
        wait_s: float = 0.0,
        most_pass_s: float = MOST_PASS_S,
        on_failure: Callable[[Exception], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            threads: of a forward pass on the CPU.
            max_batch: most inputs of a pass.
            wait_s: how long an idle batcher waits for a batch to fill.
            most_pass_s: after which, and some time more for each input, a pass counts as hanging.
            on_failure: hears of what a pass raises, on the batcher's thread, also where nobody waits for the answer any more.
        """
        self._threads = threads
        self._max_batch = max_batch
        self._wait_s = wait_s
        self._most_pass_s = most_pass_s
        self._on_failure = on_failure
        self._pass_must_end_at = float("inf")
        self._changed = threading.Condition()
        self._lines: dict[_Key, deque[_Item]] = {}
        self._pauses: list[Future[None]] = []
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="forward", daemon=True)
        self._thread.start()

    def submit(self, network: Computes, inputs: Sequence[Input], *, deadline: float | None = None) -> "list[Future[Row]]":
        """Queue inputs; cancelling a future before its pass drops its input.

        Args:
            network: what computes them.
            inputs: each alone, without a batch dimension.
            deadline: on the monotonic clock.

        Returns:
            A future for each. It fails with DeadlineExceededError where the pass would have begun too late, with what ``forward``
            raised, or with PredictionError where the batcher is closed.
        """
        now = time.monotonic()
        items = [_Item(each, deadline, now) for each in inputs]
        with self._changed:
            if self._is_closed:
                raise _closed()
            for item in items:
                self._lines.setdefault((network, isinstance(item.inputs, Tensor)), deque()).append(item)
            self._changed.notify_all()
        return [item.answer for item in items]

    def pause(self) -> "Future[None]":
        """Tell when the pass that runs now, if one does, is over."""
        ended: Future[None] = Future()
        with self._changed:
            if self._is_closed:
                ended.set_result(None)
            else:
                self._pauses.append(ended)
                self._changed.notify_all()
        return ended

    def check_health(self) -> None:
        """Make sure that what is submitted will be computed. Raises RuntimeError where the thread has ended or a pass hangs."""
        if not self._thread.is_alive():
            raise RuntimeError("the thread of the forward passes has ended")
        if time.monotonic() > self._pass_must_end_at:
            raise RuntimeError(f"a forward pass has taken more than {self._most_pass_s:g} s and does not end")

    def close(self) -> None:
        """End the thread after the pass that runs now; what still waits fails."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()
        for item in (item for line in self._lines.values() for item in line):
            if item.answer.set_running_or_notify_cancel():
                item.answer.set_exception(_closed())
        self._lines.clear()

    def _run(self) -> None:
        """Compute batch after batch until closed."""
        while (taken := self._take()) is not None:
            network, batch = taken
            if batch:
                # Each time: whatever thread sets its own number sets one for all that have not computed yet, and MKL's for everybody.
                torch.set_num_threads(self._threads)
                self._compute(network, batch)

    def _compute(self, network: Computes, batch: Sequence[_Item]) -> None:
        """Run one pass; a failure is that of its items alone."""
        begun = time.monotonic()
        self._pass_must_end_at = begun + self._most_pass_s + _MOST_INPUT_S * len(batch)
        try:
            rows = network.forward([item.inputs for item in batch])
            shared = Pass(len(batch), time.monotonic() - begun)
            answered = list(zip(batch, rows, strict=True))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear of it and the thread must go on
            if self._on_failure is not None:
                self._on_failure(error)
            for item in batch:
                item.answer.set_exception(error)
        else:
            for item, row in answered:
                item.answer.set_result(Row(row, begun - item.queued_at, shared))
        finally:
            self._pass_must_end_at = float("inf")

    def _take(self) -> tuple[Computes, list[_Item]] | None:
        """Wait for work and take a batch, which is empty if nobody wants it any more; None once closed."""
        with self._changed:
            self._end_pauses()
            if not self._lines and not self._is_closed:
                self._wait_for_work()
            if self._is_closed:
                self._end_pauses()
                return None
            key = min(self._lines, key=lambda key: self._lines[key][0].queued_at)
            return key[0], self._take_from(key)

    def _wait_for_work(self) -> None:
        """Wait until something waits, and as long as is wished for more of it."""
        while not (self._lines or self._is_closed):
            self._changed.wait()
            self._end_pauses()
        if self._wait_s:
            self._changed.wait_for(self._has_full_batch, self._wait_s)

    def _has_full_batch(self) -> bool:
        return self._is_closed or any(len(line) >= self._max_batch for line in self._lines.values())

    def _take_from(self, key: _Key) -> list[_Item]:
        """Take up to a batch off a line, passing over what is cancelled or late."""
        line, batch, now = self._lines[key], list[_Item](), time.monotonic()
        while line and len(batch) < self._max_batch:
            item = line.popleft()
            if item.begin(now):
                batch.append(item)
        if not line:
            del self._lines[key]
        return batch

    def _end_pauses(self) -> None:
        """Tell those who wait for the end of a pass."""
        while self._pauses:
            ended = self._pauses.pop()
            # Who has stopped waiting must not end the thread.
            if ended.set_running_or_notify_cancel():
                ended.set_result(None)


def _closed() -> PredictionError:
    return PredictionError("this replica is closing; ask again")
