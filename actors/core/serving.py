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
    """

    kind: DeviceKind
    replica_units: int
    most_replicas: int


def replicas_on(device: Device, policy: Policy) -> int:
    """The most replicas that a device's serving share carries."""
    serving_units = UNITS_PER_DEVICE - policy.task_share_units[device.kind]
    return serving_units // REPLICA_UNITS[device.kind]


def choose_allowance(devices: Iterable[Device], policy: Policy) -> ServingAllowance:
    """Work out the allowance of a set of present devices."""
    present = tuple(devices)
    kind = DeviceKind.GPU if any(device.kind is DeviceKind.GPU for device in present) else DeviceKind.CPU
    ceiling = sum(replicas_on(device, policy) for device in present if device.kind is kind)
    return ServingAllowance(kind, REPLICA_UNITS[kind], ceiling)
