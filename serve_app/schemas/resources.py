"""Devices, limits and the line, as answers and as the body that changes limits."""

from typing import Annotated

from pydantic import Field, model_validator

from actors.core.model import MOST_LEASES_PER_LIMIT
from serve_app.schemas.fields import DeviceName, RequestModel, ResponseModel, Timestamp

LimitNumber = Annotated[int, Field(strict=True, ge=0, le=MOST_LEASES_PER_LIMIT)]


class WorkCounts(ResponseModel):
    """Leases held, or allowed, by kind of work."""

    training: int
    inference: int


class ConfiguredLimits(WorkCounts):
    """Every limit that can be set for a device."""

    preprocessing: int | None = Field(None, exclude_if=lambda most: most is None, description="absent for GPUs, which do none")


class ActiveTask(ResponseModel):
    """Who holds a lease."""

    id: str
    type: str


class GpuMemory(ResponseModel):
    """The memory of one GPU, every process included."""

    total_gb: float
    allocated_gb: float
    free_gb: float


class GpuProcess(ResponseModel):
    """A process on a GPU, and whose it is."""

    pid: int
    memory_gb: float
    task_id: str | None
    replica: str | None
    foreign: bool


class GpuDevice(ResponseModel):
    """The whole card as the driver sees it."""

    id: int = Field(description="N of cuda:N")
    device_name: str = Field(description="cuda:N")
    name: str
    compute_capability: str
    total_memory_gb: float
    allocated_memory_gb: float
    cached_memory_gb: float = Field(description="the driver cannot tell it from allocated memory, so the same")
    free_memory_gb: float
    utilization: int = Field(description="percent")
    current_tasks: WorkCounts
    node: str
    simulated: bool
    temperature_c: float
    power_w: float
    processes: list[GpuProcess]


class GpuResponse(ResponseModel):
    """All GPUs."""

    available: bool
    count: int
    cuda_version: str | None
    pytorch_version: str
    devices: list[GpuDevice]


class DeviceLease(ResponseModel):
    """One open lease on a device."""

    lease_id: str
    task_id: str
    type: str
    gpu_fraction: float
    memory_gb: float
    granted_at: Timestamp


class ReplicaModel(ResponseModel):
    """A version that a replica has loaded."""

    model: str
    version: int
    precision: str
    memory_gb: float = Field(description="what its weights take; working memory is shared by the versions of a replica")
    requests: int = Field(description="answered since it was loaded")


class ReplicaBody(ResponseModel):
    """A replica of the predictor, as it reports itself every two seconds."""

    id: str
    pid: int
    device: str
    simulated: bool
    ready: bool = Field(description="false while it begins")
    memory_gb: float = Field(
        description="what it holds: of the GPU with its CUDA context, else what its models take of main memory"
    )
    memory_budget_gb: float
    ongoing: int = Field(description="requests in it")
    models: list[ReplicaModel]


class ServingPart(ResponseModel):
    """The part of a device that online prediction may use, and the replicas that do."""

    gpu_fraction: float
    max_replicas: int
    replicas: list[ReplicaBody]


class DeviceBody(ResponseModel):
    """One device: what it is, who may use how much of it, who does."""

    device: str
    kind: str
    name: str
    node: str
    cores: int
    memory_gb: float
    simulated: bool
    present: bool = Field(description="false while its node is gone")
    share: float = Field(description="fraction that tasks may use together")
    held: float = Field(description="fraction that leases hold")
    free: float
    usage: dict[str, int]
    limits: dict[str, int]
    leases: list[DeviceLease]
    serving: ServingPart
    foreign_processes: list[GpuProcess]
    quarantine: str | None = Field(description="why it takes no new leases; null while it does")


class QueueBody(ResponseModel):
    """The waiting line."""

    length: int
    oldest_wait_s: float


class ResourceResponse(ResponseModel):
    """Who holds what. ``cuda`` sums the usage of all GPUs; its limits are those of each GPU, the largest where they differ."""

    device_usage: dict[str, WorkCounts]
    active_tasks: dict[str, list[ActiveTask]]
    limits: dict[str, WorkCounts]
    gpu_info: GpuResponse
    gpu_memory_info: dict[str, GpuMemory]
    devices: list[DeviceBody]
    queue: QueueBody


class DifferenceBody(ResponseModel):
    """Something that the books and the rest of the world do not agree about."""

    subject: str = Field(description="the device, lease or process")
    ledger: str = Field(description="what the accountant's ledger says")
    found: str = Field(description="what Ray's books or the live processes say")


class CheckResponse(ResponseModel):
    """The ledger compared with Ray's books and the live processes."""

    agrees: bool
    differences: list[DifferenceBody]
    checked_at: Timestamp


class CpuResponse(ResponseModel):
    """The processor of the node that answers."""

    percent: float
    per_cpu_percent: list[float]
    cores: int
    physical_cores: int
    freq_mhz: float
    load_avg: dict[str, float]
    memory_percent: float


class LimitPatch(RequestModel):
    """New limits of one device; what is absent stays."""

    training: LimitNumber | None = None
    inference: LimitNumber | None = None
    preprocessing: LimitNumber | None = Field(None, description="of a CPU; a GPU does none")

    @model_validator(mode="after")
    def _says_something(self) -> "LimitPatch":
        if self.training is None and self.inference is None and self.preprocessing is None:
            raise ValueError(f"give training, inference or preprocessing, or several, each 0 to {MOST_LEASES_PER_LIMIT}")
        return self


class ResourceConfigRequest(RequestModel):
    """New limits by device, ``cuda`` (all GPUs) or ``cpu`` (all CPUs)."""

    max_concurrent: dict[DeviceName, LimitPatch] = Field(min_length=1, max_length=1_000)


class ResourceConfigResponse(ResponseModel):
    """The limits that hold now."""

    status: str
    message: str
    current_config: dict[str, ConfiguredLimits]
