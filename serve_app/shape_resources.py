"""The accountant's view in the words of the HTTP contract: devices, limits, the line. Pure functions."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from actors.core.model import Device, DeviceKind, Lease, Portion, WorkKind
from actors.core.serving import REPLICA_UNITS
from actors.core.units import UNITS_PER_DEVICE, fraction_from_units
from actors.messages import BooksReport, DeviceView, ReplicaReport, ResourceView
from serve_app.cpu_meter import CpuReading
from serve_app.schemas.resources import (
    ActiveTask,
    CheckResponse,
    ConfiguredLimits,
    CpuResponse,
    DeviceBody,
    DeviceLease,
    DifferenceBody,
    GpuDevice,
    GpuMemory,
    GpuProcess,
    GpuResponse,
    QueueBody,
    ReplicaBody,
    ReplicaModel,
    ResourceResponse,
    ServingPart,
    WorkCounts,
)
from serve_app.shape import clean_text, gigabytes, timestamp

FOREIGN = "foreign"


@cache
def package_version(package: str) -> str:
    """The version of an installed package without importing it; empty where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def resource_response(view: ResourceView) -> ResourceResponse:
    """Who holds what, and who may."""
    return ResourceResponse(
        device_usage=device_usage(view),
        active_tasks=_active_tasks(view),
        limits=device_limits(view),
        gpu_info=gpu_response(view),
        gpu_memory_info={f"GPU_{_number(each.device)}": _gpu_memory(each) for each in gpus(view)},
        devices=[_device_body(each) for each in view.devices],
        queue=QueueBody(length=view.waiting, oldest_wait_s=round(view.oldest_wait_s, 3)),
    )


def gpu_response(view: ResourceView) -> GpuResponse:
    """Every GPU that is there."""
    devices = [_gpu_device(each) for each in gpus(view)]
    return GpuResponse(
        available=bool(devices),
        count=len(devices),
        cuda_version=view.cuda_version or None,
        pytorch_version=package_version("torch"),
        devices=devices,
    )


def cpu_response(reading: CpuReading) -> CpuResponse:
    """The processor of the node that answers."""
    return CpuResponse(
        percent=reading.percent,
        per_cpu_percent=list(reading.per_cpu_percent),
        cores=len(reading.per_cpu_percent),
        physical_cores=reading.physical_cores,
        freq_mhz=reading.freq_mhz,
        load_avg=dict(zip(("1", "5", "15"), (round(load, 2) for load in reading.load_avg), strict=True)),
        memory_percent=reading.memory_percent,
    )


def check_response(report: BooksReport) -> CheckResponse:
    """Whether the books agree, and where they do not."""
    differences = [
        DifferenceBody(subject=clean_text(each.subject), ledger=clean_text(each.ledger), found=clean_text(each.found))
        for each in report.differences
    ]
    return CheckResponse(agrees=report.agrees, differences=differences, checked_at=timestamp(report.at))


def device_usage(view: ResourceView) -> dict[str, WorkCounts]:
    """Leases held by device; ``cuda`` and ``cpu`` stand for all devices of the kind together."""
    groups = _named_groups(view)
    return {name: _counts({work: sum(each.counts.get(work, 0) for each in group) for work in WorkKind}) for name, group in groups}


def device_limits(view: ResourceView) -> dict[str, WorkCounts]:
    """Most leases by device; ``cuda`` and ``cpu`` tell what each device of the kind may hold, the largest where they differ."""
    groups = _named_groups(view)
    return {
        name: _counts({work: max((each.limits.get(work, 0) for each in group), default=0) for work in WorkKind})
        for name, group in groups
    }


def configured_limits(view: ResourceView) -> dict[str, ConfiguredLimits]:
    """The same as ``device_limits``, with the limit of preprocessing for CPUs."""
    groups = dict(_named_groups(view))
    found: dict[str, ConfiguredLimits] = {}
    for name, counts in device_limits(view).items():
        cpus = [each for each in groups[name] if each.device.kind is DeviceKind.CPU]
        preprocessing = (each.limits.get(WorkKind.PREPROCESSING, 0) for each in cpus)
        found[name] = ConfiguredLimits(**counts.model_dump(), preprocessing=max(preprocessing, default=None))
    return found


def gpus(view: ResourceView) -> list[DeviceView]:
    """The GPUs whose node is there."""
    return [each for each in view.devices if each.device.kind is DeviceKind.GPU and each.is_present]


def running_count(view: ResourceView, work: WorkKind) -> int:
    """Leases of a kind of work on all devices; a gang counts once."""
    return len({lease.lease_id for each in view.devices for lease in each.leases if lease.request.work is work})


def _named_groups(view: ResourceView) -> list[tuple[str, list[DeviceView]]]:
    """The names that views use, each with its devices: both kinds, every GPU, and every CPU where there are several."""
    present = [each for each in view.devices if each.is_present]
    by_kind = {kind: [each for each in present if each.device.kind is kind] for kind in DeviceKind}
    cpus = by_kind[DeviceKind.CPU]
    singles = by_kind[DeviceKind.GPU] + (cpus if len(cpus) > 1 else [])
    return [(kind.value, group) for kind, group in by_kind.items()] + [(each.device.device_id, [each]) for each in singles]


def _active_tasks(view: ResourceView) -> dict[str, list[ActiveTask]]:
    """Holders by device; ``cuda`` is left out, since its GPUs are listed."""
    return {
        name: [ActiveTask(id=lease.request.task_id, type=lease.request.work.value) for each in group for lease in each.leases]
        for name, group in _named_groups(view)
        if name != DeviceKind.GPU
    }


def _counts(numbers: dict[WorkKind, int]) -> WorkCounts:
    return WorkCounts(training=numbers[WorkKind.TRAINING], inference=numbers[WorkKind.INFERENCE])


def _number(device: Device) -> int:
    return int(device.device_id.partition(":")[2] or 0)


def _gpu_memory(view: DeviceView) -> GpuMemory:
    total, allocated = view.device.memory_bytes, view.allocated_bytes
    return GpuMemory(total_gb=gigabytes(total), allocated_gb=gigabytes(allocated), free_gb=gigabytes(max(0, total - allocated)))


def _gpu_device(view: DeviceView) -> GpuDevice:
    device, memory = view.device, _gpu_memory(view)
    return GpuDevice(
        id=_number(device),
        device_name=device.device_id,
        name=device.name,
        compute_capability=view.compute_capability,
        total_memory_gb=memory.total_gb,
        allocated_memory_gb=memory.allocated_gb,
        cached_memory_gb=memory.allocated_gb,
        free_memory_gb=memory.free_gb,
        utilization=view.utilization,
        current_tasks=_counts({work: view.counts.get(work, 0) for work in WorkKind}),
        node=device.node_id,
        simulated=device.simulated,
        temperature_c=view.temperature_c,
        power_w=view.power_w,
        processes=_processes(view, view.processes),
    )


def _processes(view: DeviceView, processes: Iterable[tuple[int, str, int]]) -> list[GpuProcess]:
    replicas = {report.replica_id for report in view.replicas}
    return [
        GpuProcess(
            pid=pid,
            memory_gb=gigabytes(size_bytes),
            task_id=None if owner == FOREIGN or owner in replicas else owner,
            replica=owner if owner in replicas else None,
            foreign=owner == FOREIGN,
        )
        for pid, owner, size_bytes in processes
    ]


def _device_body(view: DeviceView) -> DeviceBody:
    device = view.device
    return DeviceBody(
        device=device.device_id,
        kind=device.kind.value,
        name=device.name,
        node=device.node_id,
        cores=device.cores,
        memory_gb=gigabytes(device.memory_bytes),
        simulated=device.simulated,
        present=view.is_present,
        share=fraction_from_units(view.share_units),
        held=fraction_from_units(view.held_units),
        free=fraction_from_units(max(0, view.share_units - view.held_units)),
        usage={work.value: count for work, count in view.counts.items()},
        limits={work.value: limit for work, limit in view.limits.items()},
        leases=_leases(device, view.leases),
        serving=_serving_part(view),
        foreign_processes=_processes(view, (each for each in view.processes if each[1] == FOREIGN)),
        quarantine=view.quarantine or None,
    )


def _serving_part(view: DeviceView) -> ServingPart:
    """What tasks leave, and who uses it."""
    units = view.serving_replicas * REPLICA_UNITS[view.device.kind]
    return ServingPart(
        gpu_fraction=fraction_from_units(min(units, UNITS_PER_DEVICE)),
        max_replicas=view.serving_replicas,
        replicas=[_replica(view.device, report) for report in view.replicas],
    )


def _replica(device: Device, report: ReplicaReport) -> ReplicaBody:
    models = [
        ReplicaModel(
            model=each.name,
            version=each.version,
            precision=each.precision,
            memory_gb=gigabytes(each.memory_bytes),
            requests=each.requests,
        )
        for each in report.models
    ]
    return ReplicaBody(
        id=report.replica_id,
        pid=report.presence.pid,
        device=device.device_id,
        simulated=device.simulated,
        ready=report.is_ready,
        memory_gb=gigabytes(report.memory_bytes),
        memory_budget_gb=gigabytes(report.budget_bytes),
        ongoing=report.ongoing,
        models=models,
    )


def _leases(device: Device, leases: Sequence[Lease]) -> list[DeviceLease]:
    return [
        _device_lease(lease, portion) for lease in leases for portion in lease.portions if portion.device_id == device.device_id
    ]


def _device_lease(lease: Lease, portion: Portion) -> DeviceLease:
    return DeviceLease(
        lease_id=lease.lease_id,
        task_id=lease.request.task_id,
        type=lease.request.work.value,
        gpu_fraction=fraction_from_units(portion.units),
        memory_gb=gigabytes(portion.memory_bytes),
        granted_at=timestamp(lease.granted_at),
    )
