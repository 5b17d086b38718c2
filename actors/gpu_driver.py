"""What the GPU driver itself says, every process included. Where there is no driver, there are no readings."""

from contextlib import suppress
from dataclasses import dataclass

import pynvml


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One GPU as the driver sees it now. Figures that a card does not tell are 0."""

    index: int
    name: str
    compute_capability: str
    total_bytes: int
    used_bytes: int
    utilization: int
    temperature_c: float
    power_w: float
    processes: tuple[tuple[int, int], ...]  # (pid, bytes)


@dataclass(frozen=True, slots=True)
class DriverReading:
    """All GPUs of this node, and the CUDA version that the driver supports ("" without a driver)."""

    cuda_version: str = ""
    gpus: tuple[GpuReading, ...] = ()


def read_gpus() -> DriverReading:
    """Ask the driver; takes milliseconds, so call it in a thread."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return DriverReading()
    try:
        version = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        gpus = tuple(_read(index) for index in range(pynvml.nvmlDeviceGetCount()))
        return DriverReading(f"{version // 1000}.{version % 1000 // 10}", gpus)
    except pynvml.NVMLError:
        return DriverReading()
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _read(index: int) -> GpuReading:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    utilization, temperature, power = 0, 0.0, 0.0
    with suppress(pynvml.NVMLError):
        utilization = int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    with suppress(pynvml.NVMLError):
        temperature = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
    with suppress(pynvml.NVMLError):
        power = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
    return GpuReading(
        index=index,
        name=name.decode() if isinstance(name, bytes) else name,
        compute_capability=f"{major}.{minor}",
        total_bytes=int(memory.total),
        used_bytes=int(memory.used),
        utilization=utilization,
        temperature_c=temperature,
        power_w=power,
        processes=_processes(handle),
    )


def _processes(handle: object) -> tuple[tuple[int, int], ...]:
    try:
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except pynvml.NVMLError:
        return ()
    return tuple((process.pid, int(process.usedGpuMemory or 0)) for process in running)
