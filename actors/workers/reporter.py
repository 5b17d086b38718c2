"""What an attempt tells the rest of the system while it works: log lines to the hub, progress to the supervisor."""

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from actors.clock import SystemClock
from actors.core.tasks import Progress
from actors.messages import LogDraft
from actors.names import LOG_HUB, NAMESPACE, SUPERVISOR

_BATCH_S = 0.1
_ANSWER_S = 10.0
_MOST_AT_ONCE = 1_000

#: Shows how far the work is to whoever looks at this very process.
Show = Callable[[Progress], None]


class Reporter:
    """Sends in the background, in order, and again until it is answered; work never waits for it.

    Invariant: a line that was accepted is sent until the hub has it, or ``close`` gives up and hands it back; the hub drops what it has
    already.
    """

    def __init__(self, task_id: str, attempt_id: str, *, is_silent: bool = False, show: Show | None = None) -> None:
        self._show = show
        self._is_silent = is_silent
        self._task_id = task_id
        self._attempt_id = attempt_id
        self._clock = SystemClock()
        self._lock = threading.Lock()
        self._lines: deque[LogDraft] = deque()
        self._index = 0
        self.progress = Progress()
        self._is_progress_new = False
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def line(self, level: str, message: str, **marks: Any) -> None:
        """Say one line; ``marks`` are stage, step, metrics, status and progress of a ``LogDraft``."""
        if self._is_silent:
            return
        with self._lock:
            self._index += 1
            self._lines.append(LogDraft(self._index, self._clock.now(), level, message, **marks))
        self._wake.set()

    def advance(self, percent: int, message: str, **marks: Any) -> None:
        """Tell how far the work is; ``marks`` are epoch and total_epochs and metrics. Metrics last until newer ones come."""
        metrics: Mapping[str, float] | None = marks.pop("metrics", None) or self.progress.metrics
        with self._lock:
            self.progress = Progress(percent, message, metrics=metrics, **marks)
            self._is_progress_new = not self._is_silent
        if self._show is not None:
            self._show(self.progress)
        self._wake.set()

    def close(self, deadline_s: float = 30.0) -> tuple[LogDraft, ...]:
        """Send what is left and end; returns the lines that the hub did not take in this time, for somebody who can wait longer."""
        self._closing.set()
        self._wake.set()
        self._thread.join(deadline_s)
        with self._lock:
            return tuple(self._lines)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            # Each by itself: while the log hub cannot write, people still see how far the work is.
            is_sent = all([self._send_lines(), self._send_progress()])
            if self._closing.is_set() and is_sent and not self._lines:
                return
            # Lines come in bursts: a short wait makes one message of many. After a failure it is the pause before the next try.
            self._closing.wait(_BATCH_S if is_sent else 1.0)
            if not is_sent or self._lines:
                self._wake.set()

    def _send_lines(self) -> bool:
        with self._lock:
            batch = list(self._lines)[:_MOST_AT_ONCE]
        if not batch:
            return True
        if not self._ask(LOG_HUB, "append", self._task_id, self._attempt_id, batch):
            return False
        with self._lock:
            for _ in batch:
                self._lines.popleft()
        return True

    def _send_progress(self) -> bool:
        with self._lock:
            progress, is_new = self.progress, self._is_progress_new
            self._is_progress_new = False
        if is_new and not self._ask(SUPERVISOR, "report_progress", self._attempt_id, progress):
            with self._lock:
                self._is_progress_new = True
            return False
        return True

    def _ask(self, name: str, method: str, *args: Any) -> bool:
        with suppress(RayError, ValueError):
            actor = ray.get_actor(name, namespace=NAMESPACE)
            ray.get(getattr(actor, method).remote(*args), timeout=_ANSWER_S)
            return True
        return False
