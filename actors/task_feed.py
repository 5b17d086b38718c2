"""Which task changed after which, for those who keep a picture of all tasks. Pure: no Ray, no clock, no records.

Owns the numbers. What a task looks like now is asked of whoever holds the records: a follower wants the newest state of what changed and
none of the states between, so each task stands here once, at its last change.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Final

from actors.core.tasks import Task

#: Tasks whose last change is remembered; who is further behind reads the list again.
KEPT: Final = 10_000


@dataclass(frozen=True, slots=True)
class FeedPosition:
    """How far a follower is: in the feed of which life of the supervisor ("" for somebody new), and after which change."""

    incarnation: str = ""
    after: int = 0


@dataclass(frozen=True, slots=True)
class TaskChange:
    """A task as it is after its last change, without its history; ``task`` is None where it was deleted."""

    seq: int
    task_id: str
    task: Task | None


@dataclass(frozen=True, slots=True)
class TaskNews:
    """What changed since a position.

    Attributes:
        incarnation: of the feed that tells it.
        seq: the position after it.
        changes: oldest first, each task once.
        is_reset: the position is not known here, so something may be missing before ``seq``.
    """

    incarnation: str
    seq: int
    changes: tuple[TaskChange, ...] = ()
    is_reset: bool = False

    @property
    def position(self) -> FeedPosition:
        """Where a follower stands who has taken this in."""
        return FeedPosition(self.incarnation, self.seq)


class TaskFeed:
    """The numbers of one life. Invariant: they only grow; of each task the last one is kept, the oldest tasks apart."""

    def __init__(self, incarnation: str, *, most: int = KEPT) -> None:
        self.incarnation = incarnation
        self.last = 0
        self._most = most
        #: By task, in the order of the numbers.
        self._numbers: OrderedDict[str, int] = OrderedDict()
        #: Changes up to this number may have been dropped.
        self._dropped = 0

    def note(self, task_id: str) -> None:
        """Take in that a task is new, changed or gone."""
        self.last += 1
        self._numbers[task_id] = self.last
        self._numbers.move_to_end(task_id)
        if len(self._numbers) > self._most:
            self._dropped = self._numbers.popitem(last=False)[1]

    def knows(self, position: FeedPosition) -> bool:
        """Whether everything after a position is kept."""
        return position.incarnation == self.incarnation and self._dropped <= position.after <= self.last

    def has_news(self, position: FeedPosition) -> bool:
        """Whether a follower at this position need not wait."""
        return not self.knows(position) or position.after < self.last

    def since(self, after: int, limit: int) -> list[tuple[int, str]]:
        """The tasks that changed after a number, with their numbers: the ``limit`` oldest of them, in order."""
        newer = list(takewhile(lambda each: each[1] > after, reversed(self._numbers.items())))
        return [(number, task_id) for task_id, number in islice(reversed(newer), limit)]
