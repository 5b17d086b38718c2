"""The nouns of the domain: devices, requests, leases. All frozen; what changes them is in ``ledger`` and ``waiting_line``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from actors.core.errors import InvalidSelectorError

#: The largest limit that may be set for a kind of work on a device.
MOST_LEASES_PER_LIMIT = 64
GIB = 1024**3


class DeviceKind(StrEnum):
    """What a device is; the value is the word that requests and device ids use."""

    GPU = "cuda"
    CPU = "cpu"


class WorkKind(StrEnum):
    """What a lease is for; each kind has its own limit on each device."""

    TRAINING = "training"
    INFERENCE = "inference"
    PREPROCESSING = "preprocessing"


class HolderKind(StrEnum):
    """Who holds a lease: an attempt of a task, or an actor of a user's own driver."""

    ATTEMPT = "attempt"
    DRIVER = "driver"


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or the CPU of one node.

    Attributes:
        device_id: ``cuda:N`` or ``cpu:N``; N is given once, in order of discovery, and never reused.
        kind: GPU or CPU.
        node_id: Ray's id of the node; (node_id, kind, index) is the stable identity.
        index: the device's number on its own node; 0 for a CPU.
        memory_bytes: all memory of the device.
        name: the product name, for people.
        cores: the number of logical cores of a CPU device; 0 for a GPU.
        simulated: true for a logical GPU that computes on the CPU; every view shows it.
    """

    device_id: str
    kind: DeviceKind
    node_id: str
    index: int
    memory_bytes: int
    name: str = ""
    cores: int = 0
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """The wish for a lease.

    Attributes:
        request_id: made by the caller; asking again with the same id and content gets the first answer.
        task_id: the task on whose behalf; the request_id again for a driver's own actor.
        work: which limit it counts against.
        selector: ``cpu``, ``cuda`` (the least loaded of the kind) or a device id.
        priority: 1 is the most urgent, 10 the least.
        submitted_at: when the task was submitted, in seconds; a retry keeps it and so its rank.
        memory_bytes: the budget wanted; None means the default for this kind of work.
        device_count: more than 1 for a gang: that many devices of one node, all or nothing.
        preemptible: the holder may be paused for a better-ranked request.
        holder: an attempt, or a driver.
        profile: what is alike in duration: the model's name, or else the type of the task; estimates of waiting times learn by it.
    """

    request_id: str
    task_id: str
    work: WorkKind
    selector: str
    priority: int
    submitted_at: float
    memory_bytes: int | None = None
    device_count: int = 1
    preemptible: bool = False
    holder: HolderKind = HolderKind.ATTEMPT
    profile: str = ""


@dataclass(frozen=True, slots=True)
class Portion:
    """What a lease holds of one device.

    Attributes:
        device_id: the device.
        units: ten-thousandths of it, at least 1.
        memory_bytes: the budget that the holder caps itself to; on a CPU device it is advice only.
    """

    device_id: str
    units: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A time-limited right to units and memory for one attempt or driver.

    Attributes:
        lease_id: unique for ever.
        token: the fencing token; every grant's is larger than all before it.
        request: what was asked for.
        portions: one for each device; more than one only for a gang.
        granted_at: seconds, the same clock as ``LeaseRequest.submitted_at``.
    """

    lease_id: str
    token: int
    request: LeaseRequest
    portions: tuple[Portion, ...]
    granted_at: float

    @property
    def device_id(self) -> str:
        """The first (for all but gangs: the only) device."""
        return self.portions[0].device_id


def _default_shares() -> Mapping[DeviceKind, int]:
    return {DeviceKind.GPU: 7_500, DeviceKind.CPU: 8_000}


def _default_portions() -> Mapping[tuple[DeviceKind, WorkKind], int]:
    return {
        (DeviceKind.GPU, WorkKind.TRAINING): 1_500,
        (DeviceKind.GPU, WorkKind.INFERENCE): 300,
        (DeviceKind.CPU, WorkKind.TRAINING): 1_200,
        (DeviceKind.CPU, WorkKind.INFERENCE): 300,
        (DeviceKind.CPU, WorkKind.PREPROCESSING): 300,
    }


def _default_limits() -> Mapping[tuple[DeviceKind, WorkKind], int]:
    return {
        (DeviceKind.GPU, WorkKind.TRAINING): 1,
        (DeviceKind.GPU, WorkKind.INFERENCE): 3,
        (DeviceKind.CPU, WorkKind.TRAINING): 2,
        (DeviceKind.CPU, WorkKind.INFERENCE): 4,
        (DeviceKind.CPU, WorkKind.PREPROCESSING): 2,
    }


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything the scheduler takes as given; the same policy and events always give the same commands.

    Attributes:
        task_share_units: the part of a device, by kind, that leases may use; the rest is serving's.
        portion_units: the fraction that a lease takes while limits leave room (see ``placement.portion_units``).
            A pair that is absent can never be granted.
        default_limits: the most leases of a kind on a device, until changed at run time.
        patience_s: one step of priority is worth this much waiting; infinite means strict priority, then time.
        lease_ttl_s: a lease that is not renewed for this long is taken back.
        revoke_grace_s: how long the holder of a revoked lease may take to save its work and leave.
        inference_memory_bytes: the default budget of an inference lease.
        serving_memory_share_units: the part of a GPU's memory, in ten-thousandths, that default budgets leave to serving.
    """

    task_share_units: Mapping[DeviceKind, int] = field(default_factory=_default_shares)
    portion_units: Mapping[tuple[DeviceKind, WorkKind], int] = field(default_factory=_default_portions)
    default_limits: Mapping[tuple[DeviceKind, WorkKind], int] = field(default_factory=_default_limits)
    patience_s: float = 600.0
    lease_ttl_s: float = 30.0
    revoke_grace_s: float = 120.0
    inference_memory_bytes: int = GIB
    serving_memory_share_units: int = 2_500


def parse_selector(text: str) -> tuple[DeviceKind, int | None]:
    """Split ``cuda:1`` into its kind and number; the number is None where any device of the kind will do.

    Raises:
        InvalidSelectorError: another form than cpu, cpu:N, cuda, cuda:N.
    """
    word, colon, number = text.partition(":")
    if word not in (DeviceKind.GPU, DeviceKind.CPU):
        raise InvalidSelectorError(text)
    if not colon:
        return DeviceKind(word), None
    if not (number.isascii() and number.isdigit()) or len(number) > 4 or (number != "0" and number[0] == "0"):
        raise InvalidSelectorError(text)
    return DeviceKind(word), int(number)
