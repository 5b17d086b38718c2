"""What a worker process takes of its GPU: capped at its budget when the work begins, reported when it ends.

Ray and the ledger only promise memory; this is where the promise is kept. torch is imported by those methods alone that run in a process
which computes.
"""

from dataclasses import dataclass

from actors.gpu_driver import read_gpus
from actors.learning.errors import GpuOutOfMemoryError
from actors.learning.memory_need import in_gib

#: What a context takes where it cannot be measured, because the driver is silent or others come and go on the card meanwhile.
_USUAL_CONTEXT_BYTES = 512 << 20
_PLAUSIBLE_CONTEXTS = range(64 << 20, 1 << 30)


@dataclass(frozen=True, slots=True)
class GpuPeak:
    """The most that a process took of its GPU at once, its CUDA context included; 0 where it used none.

    Attributes:
        reserved_bytes: what it held, with what torch kept at hand for later: this is what others could not have.
        needed_bytes: what its tensors filled: with less than this the same work cannot be done.
    """

    reserved_bytes: int = 0
    needed_bytes: int = 0


class GpuMemory:
    """The part of a GPU that this process may use.

    Invariant: the cap is set once, before the work allocates anything; budget and context are 0 before that and without a GPU.
    """

    def __init__(self) -> None:
        self.budget_bytes = 0
        self.context_bytes = 0

    def cap(self, budget_bytes: int, *, gpu_index: int = 0) -> str:
        """Limit what this process may take of its GPU to its budget; returns a line for the log, "" without a GPU.

        The CUDA context is part of the budget: it is measured, and the rest is what torch may allocate.

        Args:
            budget_bytes: the budget of the lease.
            gpu_index: the driver's number of the one GPU that this process sees.

        Raises:
            GpuOutOfMemoryError: the GPU has no room for the context.
        """
        import torch  # noqa: PLC0415 - only workers that compute import torch

        if not torch.cuda.is_available() or budget_bytes <= 0:
            return ""
        self.context_bytes = _open_context(gpu_index)
        total = torch.cuda.get_device_properties(0).total_memory
        self.budget_bytes = budget_bytes
        usable = max(budget_bytes - self.context_bytes, budget_bytes // 2)
        torch.cuda.set_per_process_memory_fraction(min(1.0, usable / total))
        return f"GPU memory capped at {in_gib(budget_bytes)}, of which the CUDA context takes {in_gib(self.context_bytes)}"

    def held_bytes(self) -> int:
        """What this process holds now, its CUDA context included; 0 without a GPU."""
        if not self.budget_bytes:
            return 0
        import torch  # noqa: PLC0415

        return int(torch.cuda.memory_reserved()) + self.context_bytes

    def peak(self) -> GpuPeak:
        """What was taken so far."""
        if not self.budget_bytes:
            return GpuPeak()
        import torch  # noqa: PLC0415

        reserved, needed = torch.cuda.max_memory_reserved(), torch.cuda.max_memory_allocated()
        return GpuPeak(reserved + self.context_bytes, needed + self.context_bytes)

    def describe_peak(self) -> str:
        """A line for the log, "" without a GPU."""
        peak = self.peak()
        if not peak.reserved_bytes:
            return ""
        budget = in_gib(self.budget_bytes)
        return f"GPU memory peak {in_gib(peak.reserved_bytes)} of a budget of {budget} ({in_gib(peak.needed_bytes)} needed at once)"


def _open_context(gpu_index: int) -> int:
    """Begin to use the GPU; returns the bytes that this took.

    Told by the driver: torch's own question after free memory makes the context before it answers.
    """
    import torch  # noqa: PLC0415

    from actors.learning.device_failures import is_memory_exhausted  # noqa: PLC0415 - brings torch

    before = _used_bytes(gpu_index)
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        if not is_memory_exhausted(error):
            raise
        message = "the GPU has no memory left for this process to begin with: others hold it all"
        raise GpuOutOfMemoryError(
            message, "Look at the GPU's processes under /api/v2/resources/gpu, and try again later."
        ) from error
    growth = _used_bytes(gpu_index) - before
    return growth if growth in _PLAUSIBLE_CONTEXTS else _USUAL_CONTEXT_BYTES


def _used_bytes(gpu_index: int) -> int:
    """What all processes together use of a GPU as the driver sees it; 0 where it says nothing."""
    return next((gpu.used_bytes for gpu in read_gpus().gpus if gpu.index == gpu_index), 0)
