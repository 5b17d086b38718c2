"""What happens to the scheduler (events, past tense) and what it wants done (commands, imperative).

A shell builds an event, calls ``scheduler.handle(event, now=...)`` and executes the commands in their order. Nothing else passes
between the two, so a recorded list of events replays to the same commands.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from actors.core.errors import LeaseError, RequestError
from actors.core.model import Device, Lease, LeaseRequest, WorkKind

# --- events ---


@dataclass(frozen=True, slots=True)
class DeviceAdded:
    """A device was found, or came back. ``limits`` holds what was set for it at run time before."""

    device: Device
    limits: Mapping[WorkKind, int] | None = None


@dataclass(frozen=True, slots=True)
class DeviceLost:
    """A device's node is gone, and every process on it."""

    device_id: str


@dataclass(frozen=True, slots=True)
class LeaseRequested:
    """Somebody wants a lease; asking again with the same request gets the same answer."""

    request: LeaseRequest


@dataclass(frozen=True, slots=True)
class RequestWithdrawn:
    """The wish is gone before it was granted; unknown ids are ignored."""

    request_id: str


@dataclass(frozen=True, slots=True)
class RequestReranked:
    """A waiting request gets another priority; its time of submission stays."""

    request_id: str
    priority: int


@dataclass(frozen=True, slots=True)
class LeaseRenewed:
    """The holder is alive and wants to keep the lease for another time to live."""

    lease_id: str
    token: int


@dataclass(frozen=True, slots=True)
class LeaseReleased:
    """The lease is no longer wanted. Its units return when ``HolderGone`` follows.

    ``is_complete``: the work came to its proper end, so that how long it took says something about the next of its kind.
    """

    lease_id: str
    token: int
    is_complete: bool = False


@dataclass(frozen=True, slots=True)
class HolderGone:
    """The process that used the lease is proved gone (or never began), so its units are free in truth."""

    lease_id: str


@dataclass(frozen=True, slots=True)
class LeaseAdopted:
    """After a restart: a lease that was granted before and may still be in use. ``is_ending``: it had been released or expired."""

    lease: Lease
    is_ending: bool = False


@dataclass(frozen=True, slots=True)
class MemoryMeasured:
    """The driver's figures of a device, split between the holders of its leases and everybody else.

    ``foreign_bytes`` belongs to processes that hold no lease; ``filled_bytes`` says by lease id what its processes have taken.
    """

    device_id: str
    foreign_bytes: int
    filled_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class DeviceQuarantined:
    """A device cannot be trusted for now (the memory of a process that is gone has not come back), so nothing new may start on it."""

    device_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class DeviceRecovered:
    """The reason for a quarantine is gone."""

    device_id: str


@dataclass(frozen=True, slots=True)
class LimitsChanged:
    """New limits by device id and kind of work; kinds that are not named keep theirs."""

    limits: Mapping[str, Mapping[WorkKind, int]]


@dataclass(frozen=True, slots=True)
class Ticked:
    """Time has passed: leases that were not renewed in time expire, revoked ones that linger end, and preemption looks again."""


Event = (
    DeviceAdded
    | DeviceLost
    | LeaseRequested
    | RequestWithdrawn
    | RequestReranked
    | LeaseRenewed
    | LeaseReleased
    | HolderGone
    | LeaseAdopted
    | MemoryMeasured
    | DeviceQuarantined
    | DeviceRecovered
    | LimitsChanged
    | Ticked
)

# --- commands ---


class WaitReason(StrEnum):
    """What a waiting request is missing."""

    LIMIT = "limit"  # as many leases of its kind are held as the device's limit allows
    SHARE = "share"  # the units of the task share are used up
    MEMORY = "memory"  # the budget does not fit what is free and not promised
    ORDER = "order"  # it would take what a better-ranked request waits for
    DEVICE = "device"  # no such device is there at present, or too few of them for a gang
    QUARANTINE = "quarantine"  # the device is there, but cannot be trusted for now


class EndCause(StrEnum):
    """Why a lease ends."""

    RELEASED = "released"
    REVOKED = "revoked"
    EXPIRED = "expired"
    HOLDER_DIED = "holder_died"
    DEVICE_LOST = "device_lost"


@dataclass(frozen=True, slots=True)
class Grant:
    """The lease is the caller's from now on."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Queue:
    """Not now: the request waits in line."""

    request_id: str
    reason: WaitReason


@dataclass(frozen=True, slots=True)
class Reject:
    """Never: the error says why."""

    request_id: str
    error: RequestError


@dataclass(frozen=True, slots=True)
class Renew:
    """The lease is good until ``expires_at``."""

    lease_id: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Refuse:
    """The renewal fails; the holder must stop by itself."""

    lease_id: str
    error: LeaseError


@dataclass(frozen=True, slots=True)
class Revoke:
    """Ask the holder of a preemptible lease to save its work and release; ``request_id`` is the better-ranked one that waits."""

    lease: Lease
    request_id: str


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Make sure that the holder's process is gone, by force if need be, then report ``HolderGone``."""

    lease: Lease
    cause: EndCause


@dataclass(frozen=True, slots=True)
class Close:
    """The lease is over and its units are back. ``is_complete``: its work came to a proper end, and its duration was learnt."""

    lease: Lease
    cause: EndCause
    is_complete: bool = False


Command = Grant | Queue | Reject | Renew | Refuse | Revoke | Reclaim | Close
