"""Callers who predict one picture after the other, and what became of each request."""

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

#: Longer than any answer may take; a request that meets it hangs.
HANGS_S = 40.0


@dataclass(frozen=True)
class Outcome:
    """One request: the status of its answer (0: none came), when it was sent, and how long it took."""

    status: int
    sent_at: float
    seconds: float
    text: str = ""


@dataclass
class Load:
    """Callers in threads of their own, while the block lasts.

    Attributes:
        url: of the service.
        model: that is asked for.
        picture: the body.
        callers: how many ask at once.
        key: the API key that they send, "" for none.
        pause_s: between an answer and the next request of the same caller.
        outcomes: of all requests so far.
    """

    url: str
    model: str
    picture: bytes
    callers: int = 6
    key: str = ""
    pause_s: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(self.callers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def statuses(self) -> Counter[int]:
        """How often each status came."""
        return Counter(outcome.status for outcome in self.outcomes)

    def _ask(self) -> None:
        headers = {"Content-Type": "image/png"} | ({"X-API-Key": self.key} if self.key else {})
        with httpx.Client(base_url=self.url, timeout=HANGS_S) as client:
            while not self._stop.is_set():
                sent_at = time.monotonic()
                try:
                    answer = client.post("/api/v2/predict", params={"model": self.model}, content=self.picture, headers=headers)
                    status, text = answer.status_code, answer.text
                except httpx.HTTPError as error:
                    status, text = 0, repr(error)
                self.outcomes.append(Outcome(status, sent_at, time.monotonic() - sent_at, "" if status == 200 else text))
                self._stop.wait(self.pause_s)
