"""What the work of an attempt gets from its process."""

from collections.abc import Callable
from dataclasses import dataclass

import ray

from actors.attempt_order import AttemptOrder
from actors.core.tasks import REGISTERED_MODEL
from actors.fence import FencedFolder
from actors.files.data_roots import DataRoots
from actors.paths import build_data_roots, build_model_roots
from actors.workers.gpu_memory import GpuMemory
from actors.workers.process import torch_device
from actors.workers.reporter import Reporter
from configs.settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """The order, where to write, whom to tell, and when to stop.

    Attributes:
        order: what to do, on which lease.
        settings: of the service.
        folder: the output folder behind its fence.
        reporter: for log lines and progress.
        threads: CPU threads for the computation.
        should_stop: asked before every batch.
        memory: what this process may take of its GPU.
    """

    order: AttemptOrder
    settings: Settings
    folder: FencedFolder
    reporter: Reporter
    threads: int
    should_stop: Callable[[], bool]
    memory: GpuMemory

    @property
    def roots(self) -> DataRoots:
        """Where everything that the work reads must lie; the files of registered models only for a job that names one."""
        build = build_model_roots if REGISTERED_MODEL in self.order.resolved else build_data_roots
        return build(self.settings)

    def settle_on_device(self) -> str:
        """Cap this process's GPU memory and tell the log where it runs, as Ray's own books have it; returns the torch device."""
        granted = self.order.granted
        device = granted.device
        simulated = ", simulated: it computes on the CPU" if device.simulated else ""
        index = ",".join(ray.get_runtime_context().get_accelerator_ids().get("GPU", ()))
        in_ray = f", GPU {index} in Ray's books" if index else ""
        self.reporter.line("INFO", f"running on {device.device_id} ({device.name}{simulated}{in_ray}) with {self.threads} threads")
        name = torch_device(device)
        cap = "" if name == "cpu" else self.memory.cap(granted.portion.memory_bytes, gpu_index=device.index)
        if cap:
            self.reporter.line("INFO", cap)
        return name
