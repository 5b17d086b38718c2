"""What became of every lease, as a list of events that only grows, and the stays on devices that it tells of.

Written beside the leases themselves, which are forgotten when they end: this is what is left to look at, and what the rules of leases
can be proved by afterwards. Pure data; the store keeps it, the accountant makes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from actors.core.model import HolderKind, Lease, Portion


class LeaseEventKind(StrEnum):
    """What happened to a lease. The first is a grant, the last a close; between them it may be adopted and begin to end."""

    GRANTED = "granted"
    ADOPTED = "adopted"  # taken over by an accountant that began anew
    ENDED = "ended"  # no longer good; its process is still to go
    CLOSED = "closed"  # its units are back


@dataclass(frozen=True, slots=True)
class LeaseEvent:
    """One step in the life of a lease.

    Attributes:
        at: when, in seconds, the clock of ``Lease.granted_at``.
        kind: what happened.
        lease_id: of the lease.
        token: its fencing token.
        task_id: the task that it serves; of a driver's own actor, what stands for it.
        attempt_id: the attempt that asked for it, which is the id of the request.
        holder: an attempt, or a driver.
        portions: what it holds of each device.
        cause: why it ends, a value of ``EndCause``; "" for a grant and an adoption.
    """

    at: float
    kind: LeaseEventKind
    lease_id: str
    token: int
    task_id: str
    attempt_id: str
    holder: HolderKind
    portions: tuple[Portion, ...]
    cause: str = ""

    @classmethod
    def of(cls, kind: LeaseEventKind, lease: Lease, *, at: float, cause: str = "") -> "LeaseEvent":
        """Tell one step of a lease."""
        asked = lease.request
        return cls(at, kind, lease.lease_id, lease.token, asked.task_id, asked.request_id, asked.holder, lease.portions, cause)


@dataclass(frozen=True, slots=True)
class PastLease:
    """A lease from its grant to its end, or to now.

    Attributes:
        lease_id: of the lease.
        attempt_id: who asked for it.
        portions: what it holds of each device.
        granted_at: when it was granted; None where the history no longer reaches so far back.
        closed_at: when its units were back; None while it is open.
        cause: why it ended or is ending, a value of ``EndCause``; "" while it is good.
        adoptions: how often an accountant that began anew took it over.
    """

    lease_id: str
    attempt_id: str
    portions: tuple[Portion, ...]
    granted_at: float | None = None
    closed_at: float | None = None
    cause: str = ""
    adoptions: int = 0


def read_leases(events: Iterable[LeaseEvent]) -> tuple[PastLease, ...]:
    """The leases that events tell of, in the order in which they first appear.

    The first cause of an end counts: a lease that expired and was adopted while its process went did not end by that adoption.
    """
    by_lease: dict[str, list[LeaseEvent]] = {}
    for event in events:
        by_lease.setdefault(event.lease_id, []).append(event)
    return tuple(_read_lease(steps) for steps in by_lease.values())


def _read_lease(steps: list[LeaseEvent]) -> PastLease:
    first = steps[0]
    times = {step.kind: step.at for step in steps}
    return PastLease(
        first.lease_id,
        first.attempt_id,
        first.portions,
        granted_at=times.get(LeaseEventKind.GRANTED),
        closed_at=times.get(LeaseEventKind.CLOSED),
        cause=next((step.cause for step in steps if step.cause), ""),
        adoptions=sum(step.kind is LeaseEventKind.ADOPTED for step in steps),
    )
