"""How many requests came, and how soon they were answered, by route.

Owns the counts of this process's life and the ASGI layer that makes them. It costs microseconds and never touches a body. Routes are
told by their template, so that ids in paths do not make a line of metrics each.
"""

from bisect import bisect_left
from dataclasses import dataclass, field
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The upper bounds of the classes of latency, in seconds.
LATENCY_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
#: Stands for every path that no route has.
NO_ROUTE = "none"
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})
_OTHER_METHOD = "other"


@dataclass(slots=True)
class Latencies:
    """Answers by class of latency; ``counts`` has one more than the bounds, for those beyond them."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_BOUNDS_S) + 1))
    sum_s: float = 0.0


class RequestTally:
    """Counts that only grow: answers by (route, method, status), latencies by (route, method)."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str, int], int] = {}
        self.latencies: dict[tuple[str, str], Latencies] = {}

    def count(self, scope: Scope, status: int, latency_s: float) -> None:
        """Take in one answer."""
        route = getattr(scope.get("route"), "path", NO_ROUTE)
        method = scope["method"] if scope["method"] in _METHODS else _OTHER_METHOD
        key = (route, method, status)
        self.answers[key] = self.answers.get(key, 0) + 1
        latencies = self.latencies.get(key[:2])
        if latencies is None:
            latencies = self.latencies[key[:2]] = Latencies()
        latencies.counts[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        latencies.sum_s += latency_s


class RequestMeter:
    """Counts every HTTP answer when it begins: a log stream's length says nothing of how quick the service is."""

    def __init__(self, app: ASGIApp, tally: RequestTally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer; an error that nobody answered for leaves as a 500."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        is_counted = False

        async def send_and_count(message: Message) -> None:
            nonlocal is_counted
            if message["type"] == "http.response.start":
                is_counted = True
                self._tally.count(scope, message["status"], perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, send_and_count)
        except Exception:
            if not is_counted:
                self._tally.count(scope, 500, perf_counter() - began)
            raise
