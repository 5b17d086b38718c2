"""Devices as Ray has them: finding them, and one placement group for each.

The group of a device is detached, named after it, and holds the device's whole task share in one bundle. A GPU's bundle is over one
half, so no two groups land on one GPU; a probe inside the fresh group reads the index that Ray chose, and from then on scheduling a
worker into the group pins it to that GPU, in Ray's own books. Device ids are given once and kept in the store.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from actors.core.model import GIB, Device, DeviceKind, Policy
from actors.core.units import fraction_from_units
from actors.gpu_driver import read_gpus
from actors.names import NAME_LABEL, NAMESPACE, SIMULATED_LABEL
from actors.store import Store, StoredDevice

SIMULATED_GPU_BYTES = 24 * GIB
_GROUP_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What a node says of its hardware.

    Attributes:
        node_id: Ray's id of it.
        node_name: its label's name, else the machine's; the same after a restart of Ray.
        cores: logical cores that Ray may use.
        memory_bytes: main memory.
        cpu_name: for people.
        gpus: (name, memory in bytes) by index; empty where the GPUs are simulated.
        gpu_count: how many Ray may use.
    """

    node_id: str
    node_name: str
    cores: int
    memory_bytes: int
    cpu_name: str
    gpus: tuple[tuple[str, int], ...]
    gpu_count: int


@dataclass(frozen=True, slots=True)
class DeviceGroup:
    """A device and the placement group that holds its task share."""

    device: Device
    group_id: str


def group_name(kind: DeviceKind, node_id: str, number: int) -> str:
    """The name of a device's placement group; the number tells a node's groups apart and is not the GPU's index."""
    return f"{NAMESPACE}-{kind.value}-{node_id}-{number}"


def group_resource(kind: DeviceKind, group_id: str) -> str:
    """The name under which Ray counts what is free in a device's group."""
    return f"{'GPU' if kind is DeviceKind.GPU else 'CPU'}_group_0_{group_id}"


class DeviceHouse:
    """Finds the cluster's devices and keeps their groups. Every method talks to Ray and may take a second."""

    def __init__(self, store: Store, policy: Policy, *, simulated: bool) -> None:
        self._store = store
        self._policy = policy
        self._simulated = simulated

    async def discover(self, node_id: str) -> list[DeviceGroup]:
        """Find every device of a live node, with a group each; makes the groups that are missing.

        Raises:
            KeyError: there is no such node any more.
            TimeoutError, RayError: it does not answer, or a group of it does not get ready.
        """
        live = {node["NodeID"]: node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]}
        facts = await self._ask(live[node_id])
        found = await asyncio.gather(*(self._probe_gpu(facts, number) for number in range(facts.gpu_count)))
        cpu = await self._group(DeviceKind.CPU, facts, 0) if facts.cores else None
        # Nothing is awaited from here on: of two nodes that are looked at together, none gets the other's numbers.
        ids = _DeviceIds(self._store, set(live))
        by_index = sorted(found, key=lambda pair: pair[0])
        groups = [DeviceGroup(self._describe_gpu(ids, facts, index), group.id.hex()) for index, group in by_index]
        return [*groups, DeviceGroup(_describe_cpu(ids, facts), cpu.id.hex())] if cpu else groups

    async def _ask(self, node: dict[str, Any]) -> NodeFacts:
        resources, labels = node["Resources"], node.get("Labels", {})
        simulated = labels.get(SIMULATED_LABEL, str(self._simulated)) == str(True)
        strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        if node["NodeID"] == ray.get_runtime_context().get_node_id():
            name, memory_bytes, cpu_name, gpus = await asyncio.to_thread(_read_hardware)
        else:
            ask = ray.remote(_read_hardware).options(num_cpus=0, scheduling_strategy=strategy)
            name, memory_bytes, cpu_name, gpus = await asyncio.wait_for(ask.remote(), _GROUP_DEADLINE_S)
        return NodeFacts(
            node_id=node["NodeID"],
            node_name=labels.get(NAME_LABEL) or name,
            cores=int(resources.get("CPU", 0)),
            memory_bytes=memory_bytes,
            cpu_name=cpu_name,
            gpus=() if simulated else gpus,
            gpu_count=int(resources.get("GPU", 0)),
        )

    async def _group(self, kind: DeviceKind, facts: NodeFacts, number: int) -> PlacementGroup:
        """The group with this name, made if it is not there, ready to be used."""
        name = group_name(kind, facts.node_id, number)
        try:
            group = await asyncio.to_thread(ray.util.get_placement_group, name)
        except ValueError:
            share = fraction_from_units(self._policy.task_share_units[kind])
            bundle = {"GPU": share} if kind is DeviceKind.GPU else {"CPU": round(share * facts.cores, 4)}
            group = placement_group(
                [bundle],
                name=name,
                lifetime="detached",
                bundle_label_selector=[{"ray.io/node-id": facts.node_id}],
            )
            await asyncio.wait_for(group.ready(), _GROUP_DEADLINE_S)
            return group
        # An earlier look may have made it and given up waiting for it.
        if not await asyncio.to_thread(group.wait, _GROUP_DEADLINE_S):
            raise TimeoutError(f"the placement group {name} is not ready after {_GROUP_DEADLINE_S:.0f} s")
        return group

    async def _probe_gpu(self, facts: NodeFacts, number: int) -> tuple[int, PlacementGroup]:
        """The index of the GPU on which Ray put a group, read inside the group and remembered by the group's id."""
        group = await self._group(DeviceKind.GPU, facts, number)
        known = await asyncio.to_thread(self._store.read_note, f"gpu-of-group-{group.id.hex()}")
        if known is None:
            probe = ray.remote(_read_gpu_index).options(
                num_cpus=0, num_gpus=0.01, scheduling_strategy=PlacementGroupSchedulingStrategy(group, 0)
            )
            known = str(await asyncio.wait_for(probe.remote(), _GROUP_DEADLINE_S))
            await asyncio.to_thread(self._store.write_note, f"gpu-of-group-{group.id.hex()}", known)
        return int(known), group

    def _describe_gpu(self, ids: "_DeviceIds", facts: NodeFacts, index: int) -> Device:
        name, memory = facts.gpus[index] if index < len(facts.gpus) else ("simulated GPU", SIMULATED_GPU_BYTES)
        return Device(
            device_id=ids.of(DeviceKind.GPU, facts, index),
            kind=DeviceKind.GPU,
            node_id=facts.node_id,
            index=index,
            memory_bytes=memory,
            name=name,
            simulated=index >= len(facts.gpus),
        )


class _DeviceIds:
    """Gives every device its id: the one it had before, else the next number of its kind."""

    def __init__(self, store: Store, live_nodes: set[str]) -> None:
        self._store = store
        self._live = live_nodes
        self._rows = store.read_devices()

    def of(self, kind: DeviceKind, facts: NodeFacts, index: int) -> str:
        mine = [row for row in self._rows if row.kind is kind and row.index == index]
        for row in mine:
            if row.node_id == facts.node_id:
                return row.device_id
        # Ray gives a node a new id with each start: the same machine's device keeps its name.
        for row in mine:
            if row.node_name == facts.node_name and row.node_id not in self._live:
                return self._write(row.device_id, kind, facts, index)
        number = sum(1 for row in self._rows if row.kind is kind)
        return self._write(f"{kind.value}:{number}", kind, facts, index)

    def _write(self, device_id: str, kind: DeviceKind, facts: NodeFacts, index: int) -> str:
        row = StoredDevice(device_id, kind, facts.node_name, facts.node_id, index)
        self._store.write_device(row)
        self._rows = [other for other in self._rows if other.device_id != device_id] + [row]
        return device_id


def find_group(group_id: str) -> PlacementGroup:
    """The live placement group with this id, to schedule into."""
    return PlacementGroup(ray.PlacementGroupID.from_hex(group_id))


def nodes_with_groups() -> set[str]:
    """The ids of the nodes that groups were made for and have not been removed, lost ones among them."""
    names = [entry["name"] for entry in ray.util.placement_group_table().values() if entry["state"] != "REMOVED"]
    return {parts[2] for name in names if len(parts := name.rsplit("-", 3)) == 4 and parts[0] == NAMESPACE}


def remove_groups(node_ids: Iterable[str] | None = None) -> None:
    """Remove the groups of the given nodes; of all nodes where None."""
    wanted: Sequence[str] | None = None if node_ids is None else tuple(node_ids)
    for entry in ray.util.placement_group_table().values():
        name = entry["name"]
        is_ours = name.startswith(f"{NAMESPACE}-") and entry["state"] != "REMOVED"
        if is_ours and (wanted is None or any(node_id in name for node_id in wanted)):
            remove_placement_group(ray.util.get_placement_group(name))


def _describe_cpu(ids: _DeviceIds, facts: NodeFacts) -> Device:
    return Device(
        device_id=ids.of(DeviceKind.CPU, facts, 0),
        kind=DeviceKind.CPU,
        node_id=facts.node_id,
        index=0,
        memory_bytes=facts.memory_bytes,
        name=facts.cpu_name,
        cores=facts.cores,
    )


def _read_gpu_index() -> int:
    return int(ray.get_runtime_context().get_accelerator_ids()["GPU"][0])


def _read_hardware() -> tuple[str, int, str, tuple[tuple[str, int], ...]]:
    """Name, memory, processor and GPUs of the node that this runs on."""
    gpus = tuple((gpu.name, gpu.total_bytes) for gpu in read_gpus().gpus)
    return socket.gethostname(), psutil.virtual_memory().total, _read_cpu_name(), gpus


def _read_cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not a path of ours
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else "CPU"
