"""What the accountant has decided, as a feed that its callers follow: grants, revocations, and that the line has moved."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from actors.core.model import HolderKind, Lease
from actors.messages import Decisions, GrantedLease

#: So many decisions are kept for those that are behind.
_KEPT = 10_000
_LINE_NEWS_S = 0.1


@dataclass(frozen=True, slots=True)
class Position:
    """How far a follower is: in the feed of which life of the accountant, and after which decision."""

    incarnation: str
    after: int


class DecisionFeed:
    """Numbered decisions, and the wish to be woken by the next.

    Invariant: numbers only grow within an incarnation; what is told of a lease is told only while ``is_good`` says so.
    """

    def __init__(self, is_good: Callable[[Lease], bool]) -> None:
        self._is_good = is_good
        self._incarnation = uuid.uuid4().hex
        self._seq = 0
        self._grants: deque[tuple[int, GrantedLease]] = deque(maxlen=_KEPT)
        self._revocations: deque[tuple[int, Lease]] = deque(maxlen=_KEPT)
        self._news = asyncio.Event()
        self._line_news: asyncio.TimerHandle | None = None

    def add(self, grants: Iterable[GrantedLease], revocations: Iterable[Lease]) -> None:
        """Take in what was decided, and wake those who wait for it."""
        before = self._seq
        for granted in grants:
            self._seq += 1
            self._grants.append((self._seq, granted))
        for lease in revocations:
            self._seq += 1
            self._revocations.append((self._seq, lease))
        if self._seq > before:
            self._wake()

    def note_line(self) -> None:
        """Wake them a moment later: requests come in bursts, and a place in the line may be told a little late."""
        if self._line_news is None:
            self._line_news = asyncio.get_running_loop().call_later(_LINE_NEWS_S, self._line_moved)

    async def next(self, position: Position, holder: HolderKind, wait_s: float, order: Callable[[], tuple[str, ...]]) -> Decisions:
        """What was decided for one kind of holder since a position, and the line as it is; waits up to ``wait_s`` for news."""
        is_same_life = position.incarnation == self._incarnation
        if is_same_life and position.after >= self._seq:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), wait_s)
        known = position.after if is_same_life else 0
        grants = tuple(each for seq, each in self._grants if seq > known and self._is_for(each.lease, holder))
        revoked = tuple(lease.request.request_id for seq, lease in self._revocations if seq > known and self._is_for(lease, holder))
        return Decisions(self._incarnation, self._seq, grants, order(), revoked)

    def _is_for(self, lease: Lease, holder: HolderKind) -> bool:
        return lease.request.holder is holder and self._is_good(lease)

    def _line_moved(self) -> None:
        self._line_news = None
        self._seq += 1
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
