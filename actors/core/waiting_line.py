"""Who waits, and in what order.

One total order over all waiting requests: by *rank*, which is the time of submission plus priority times patience, then the
request's id. With patience 600 s, a request of priority 4 goes before one of priority 5 that came up to ten minutes earlier, and
after one that came earlier still: urgent work goes first and nobody starves. With infinite patience the order is strict priority,
then time.

The line is kept as one sorted list for each queue: requests of one kind of work that ask for the same thing (any device of a kind,
one device, a gang of one width). A device that has room only ever asks for the best request of each queue that may use it. Places
are found by bisection, and so are positions; the rest of the list moves aside in one copy (with 100,000 waiting, a decision costs 1.8
times what it does with 100).
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice

from actors.core.events import WaitReason
from actors.core.model import Device, DeviceKind, LeaseRequest, WorkKind

#: Smaller goes first; the last part is the request's id, so no two are equal.
Rank = tuple[float, float, str]
#: A queue: the kind of work, the selector, and how many devices each of its requests wants.
QueueKey = tuple[WorkKind, str, int]


def rank_of(request: LeaseRequest, patience_s: float) -> Rank:
    """The place of a request in the total order; needs no knowledge of the other requests."""
    if patience_s == float("inf"):
        return (float(request.priority), request.submitted_at, request.request_id)
    return (request.submitted_at + request.priority * patience_s, 0.0, request.request_id)


@dataclass(slots=True, eq=False)
class WaitingEntry:
    """A request in line.

    Attributes:
        request: the wish.
        rank: its place in the total order.
        reason: what it was found to miss when last looked at.
        holds_back: whether others were ever kept from a device for its sake, so that its leaving may let them start.
    """

    request: LeaseRequest
    rank: Rank
    reason: WaitReason
    holds_back: bool = False


@dataclass(slots=True, eq=False)
class _Queue:
    """The requests of one queue: their ranks, ascending, and how many of each profile they are."""

    ranks: list[Rank] = field(default_factory=list)
    profiles: Counter[str] = field(default_factory=Counter)


class WaitingLine:
    """All waiting requests.

    Invariant: every entry of ``waiting`` is in exactly the queue of its key, with its rank, and the queues hold nothing else.
    """

    def __init__(self, patience_s: float) -> None:
        self.waiting: dict[str, WaitingEntry] = {}
        self._patience_s = patience_s
        self._queues: dict[QueueKey, _Queue] = {}
        self._gangs: dict[tuple[WorkKind, str], set[int]] = {}  # the widths that were ever asked for

    def __len__(self) -> int:
        return len(self.waiting)

    def join(self, request: LeaseRequest, reason: WaitReason) -> WaitingEntry:
        """Put a request into the line."""
        key = _key(request)
        entry = WaitingEntry(request, rank_of(request, self._patience_s), reason)
        self.waiting[request.request_id] = entry
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue()
            if request.device_count > 1:
                self._gangs.setdefault((request.work, request.selector), set()).add(request.device_count)
        insort(queue.ranks, entry.rank)
        queue.profiles[request.profile] += 1
        return entry

    def leave(self, request_id: str) -> WaitingEntry | None:
        """Take a request out of the line; None if it was not in it."""
        entry = self.waiting.pop(request_id, None)
        if entry is None:
            return None
        queue = self._queues[_key(entry.request)]
        del queue.ranks[bisect_left(queue.ranks, entry.rank)]
        queue.profiles[entry.request.profile] -= 1
        return entry

    def heads(self, work: WorkKind, device: Device) -> list[WaitingEntry]:
        """The best-ranked request of every queue of this kind of work that may use this device, in no particular order."""
        heads = []
        for key in ((work, device.kind, 1), (work, device.device_id, 1)):
            queue = self._queues.get(key)
            if queue is not None and queue.ranks:
                heads.append(self._head(queue))
        return heads + self.gang_heads(work, device.kind)

    def gang_heads(self, work: WorkKind, kind: DeviceKind) -> list[WaitingEntry]:
        """The best-ranked gang of every width that waits for devices of this kind."""
        widths = self._gangs.get((work, kind))
        if not widths:
            return []
        queues = (self._queues[work, kind, width] for width in widths)
        return [self._head(queue) for queue in queues if queue.ranks]

    def behind(self, head: WaitingEntry) -> Iterator[WaitingEntry]:
        """The other requests of the queue that this one is the head of, best first."""
        for rank in islice(self._queues[_key(head.request)].ranks, 1, None):
            yield self.waiting[rank[2]]

    def all_heads(self) -> list[WaitingEntry]:
        """The best-ranked request of every queue, best first."""
        return sorted((self._head(queue) for queue in self._queues.values() if queue.ranks), key=lambda entry: entry.rank)

    def first(self, count: int) -> list[str]:
        """The ids of the best-ranked requests of the whole line, best first."""
        return [rank[2] for rank in islice(merge(*(queue.ranks for queue in self._queues.values())), count)]

    def rank_for(self, request: LeaseRequest) -> Rank:
        """The rank that a request has in this line, or would have."""
        return rank_of(request, self._patience_s)

    def count_ahead(self, rank: Rank) -> dict[QueueKey, int]:
        """How many requests of each queue are better ranked; one more than all of them together is the position in the line."""
        return {key: bisect_left(queue.ranks, rank) for key, queue in self._queues.items()}

    def mix_of(self, key: QueueKey) -> dict[str, float]:
        """What part of a queue's requests has which profile."""
        queue = self._queues[key]
        return {profile: count / len(queue.ranks) for profile, count in queue.profiles.items() if count}

    def validate(self) -> None:
        """Prove the invariant.

        Raises:
            AssertionError: names the request or queue that is wrong.
        """
        for key, queue in self._queues.items():
            if queue.ranks != sorted(queue.ranks) or any(self.waiting[rank[2]].rank != rank for rank in queue.ranks):
                raise AssertionError(f"queue {key} is not the sorted ranks of those that wait")
            if sum(queue.profiles.values()) != len(queue.ranks):
                raise AssertionError(f"queue {key}: {queue.profiles} for {len(queue.ranks)} requests")
        if sum(len(queue.ranks) for queue in self._queues.values()) != len(self.waiting):
            raise AssertionError("a waiting request is in no queue")

    def _head(self, queue: _Queue) -> WaitingEntry:
        """The best-ranked request of a queue that is not empty."""
        return self.waiting[queue.ranks[0][2]]


def _key(request: LeaseRequest) -> QueueKey:
    return (request.work, request.selector, request.device_count)
