"""Who waits, and in what order.

One total order over all waiting requests: by *rank*, which is the time of submission plus priority times patience, then the
request's id. With patience 600 s, a request of priority 4 goes before one of priority 5 that came up to ten minutes earlier, and
after one that came earlier still: urgent work goes first and nobody starves. With infinite patience the order is strict priority,
then time.

The line is kept as one heap for each (kind of work, selector), because a device that has room only ever asks for the best request
of one kind that may use it. Leaving the line is a deletion in a dict; heaps drop what has left when it comes to their top.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, nsmallest

from actors.core.events import WaitReason
from actors.core.model import LeaseRequest, WorkKind

#: Smaller goes first; the last part is the request's id, so no two are equal.
Rank = tuple[float, float, str]
_Key = tuple[WorkKind, str]
#: What a heap holds: the rank, and the number of the joining, which tells an entry from one that left and joined again.
_Place = tuple[Rank, int]


def rank_of(request: LeaseRequest, patience_s: float) -> Rank:
    """The place of a request in the total order; needs no knowledge of the other requests."""
    if patience_s == float("inf"):
        return (float(request.priority), request.submitted_at, request.request_id)
    return (request.submitted_at + request.priority * patience_s, 0.0, request.request_id)


@dataclass(slots=True, eq=False)
class WaitingEntry:
    """A request in line, with its rank and what it was found to miss when last looked at."""

    request: LeaseRequest
    rank: Rank
    reason: WaitReason
    joining: int


class WaitingLine:
    """All waiting requests.

    Invariant: every entry of ``waiting`` is in exactly the heap of its (work, selector) with its current rank; what else a heap
    holds is stale and at most as much again as what is live.
    """

    def __init__(self, patience_s: float) -> None:
        self.waiting: dict[str, WaitingEntry] = {}
        self._patience_s = patience_s
        self._heaps: dict[_Key, list[_Place]] = {}
        self._live: dict[_Key, int] = {}
        self._joinings = 0

    def __len__(self) -> int:
        return len(self.waiting)

    def join(self, request: LeaseRequest, reason: WaitReason) -> WaitingEntry:
        """Put a request into the line."""
        key = (request.work, request.selector)
        self._joinings += 1
        entry = WaitingEntry(request, rank_of(request, self._patience_s), reason, self._joinings)
        self.waiting[request.request_id] = entry
        heap = self._heaps.setdefault(key, [])
        self._live[key] = self._live.get(key, 0) + 1
        heappush(heap, (entry.rank, entry.joining))
        return entry

    def leave(self, request_id: str) -> LeaseRequest | None:
        """Take a request out of the line; None if it was not in it."""
        entry = self.waiting.pop(request_id, None)
        if entry is None:
            return None
        key = (entry.request.work, entry.request.selector)
        self._live[key] -= 1
        heap = self._heaps[key]
        if len(heap) > 2 * self._live[key] + 64:
            heap[:] = [place for place in heap if self._is_current(place)]
            heapify(heap)
        return entry.request

    def head(self, work: WorkKind, selector: str) -> WaitingEntry | None:
        """The best-ranked request of this kind with exactly this selector."""
        heap = self._heaps.get((work, selector))
        while heap:
            rank, joining = heap[0]
            entry = self.waiting.get(rank[2])
            if entry is not None and entry.joining == joining:
                return entry
            heappop(heap)
        return None

    def first(self, count: int) -> list[str]:
        """The ids of the best-ranked requests of the whole line, best first."""
        return [rank[2] for rank in nsmallest(count, (entry.rank for entry in self.waiting.values()))]

    def ahead_of(self, entry: WaitingEntry) -> Iterator[WaitingEntry]:
        """Every waiting request that is better ranked than this one."""
        return (other for other in self.waiting.values() if other.rank < entry.rank)

    def validate(self) -> None:
        """Prove the invariant.

        Raises:
            AssertionError: names the request or heap that is wrong.
        """
        for (work, selector), heap in self._heaps.items():
            live = [place for place in heap if self._is_current(place)]
            if len(live) != len(set(live)) or len(live) != self._live[work, selector]:
                raise AssertionError(f"heap {work}/{selector}: {len(live)} live entries, {self._live[work, selector]} counted")
        if sum(self._live.values()) != len(self.waiting):
            raise AssertionError("a waiting request is in no heap")

    def _is_current(self, place: _Place) -> bool:
        entry = self.waiting.get(place[0][2])
        return entry is not None and entry.joining == place[1]
