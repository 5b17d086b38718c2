"""The serving allowance: how many replicas the serving share of the devices carries.

Replicas hold no lease. Their fraction is fixed for the life of the service, so that they divide every device's serving share evenly
and cannot strand what is left of it; only the ceiling moves when devices come and go.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from actors.core.model import Device, DeviceKind, Policy
from actors.core.units import UNITS_PER_DEVICE

#: What one replica takes of its device.
REPLICA_UNITS = {DeviceKind.GPU: 1_250, DeviceKind.CPU: 1_000}


@dataclass(frozen=True, slots=True)
class ServingAllowance:
    """What the predictor deployment may use: GPUs where there are any, else the CPUs.

    Attributes:
        kind: the kind of device that replicas go to.
        replica_units: the fixed units of one replica.
        most_replicas: the ceiling over all devices.
        device_cores: the cores of the smallest CPU among them, which a replica's units are a part of; 0 for GPUs.
    """

    kind: DeviceKind
    replica_units: int
    most_replicas: int
    device_cores: int = 0


def serving_units(kind: DeviceKind, policy: Policy) -> int:
    """The units of a device that tasks leave to serving."""
    return UNITS_PER_DEVICE - policy.task_share_units[kind]


def replicas_on(device: Device, policy: Policy) -> int:
    """The most replicas that a device's serving share carries."""
    return serving_units(device.kind, policy) // REPLICA_UNITS[device.kind]


def choose_allowance(devices: Iterable[Device], policy: Policy, kind: DeviceKind | None = None) -> ServingAllowance:
    """Work out the allowance of a set of present devices.

    Args:
        devices: those that are there.
        policy: their shares.
        kind: what the replicas that are deployed already use; None chooses.
    """
    present = tuple(devices)
    if kind is None:
        kind = DeviceKind.GPU if any(device.kind is DeviceKind.GPU for device in present) else DeviceKind.CPU
    usable = [device for device in present if device.kind is kind]
    ceiling = sum(replicas_on(device, policy) for device in usable)
    return ServingAllowance(kind, REPLICA_UNITS[kind], ceiling, min((device.cores for device in usable), default=0))
