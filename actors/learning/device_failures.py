"""Failures of the device and of its libraries, told as errors that name their remedy.

Owns what counts as exhausted GPU memory, with the words for it, and what counts as a GPU lost to its process. It knows nothing of how
a training goes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from actors.learning.errors import ConfigError, GpuOutOfMemoryError
from actors.learning.memory_need import Workload, batch_after_exhaustion, in_gib
from actors.learning.plan import TrainingPlan

#: cuBLAS and cuDNN allocate beside torch, and report in their own words that there was no room.
_EXHAUSTION_MARKS = ("out of memory", "ALLOC_FAILED")
#: Errors after which CUDA answers all further work of the process with the same error, as its manual says of each.
_LOSS_MARKS = (
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "invalid program counter",
    "device-side assert",
    "unspecified launch failure",
    "launch timed out",
    "hardware stack error",
    "uncorrectable ecc error",
    "uncorrectable nvlink error",
    "devices unavailable",
    "device lost",
    "gpu is lost",
)


@contextmanager
def device_failures_explained(plan: TrainingPlan) -> Iterator[None]:
    """Turn failures that have a remedy into errors that name it.

    Raises:
        GpuOutOfMemoryError: The GPU memory that this process may use is exhausted.
        ConfigError: Batch normalisation met a single value, which has no variance.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_memory_exhausted(error):
            raise
        raise _explain_exhaustion(plan) from error
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ConfigError(
            f"{plan.model} cannot learn from one picture of {plan.image_size} pixels at a time",
            "Raise batch_size to 2 or more, or raise image_size.",
        ) from error


def is_memory_exhausted(error: RuntimeError) -> bool:
    """Tell whether an error of torch means that the GPU had no memory left for this process."""
    return isinstance(error, torch.OutOfMemoryError) or (
        "CU" in str(error).upper() and any(mark in str(error) for mark in _EXHAUSTION_MARKS)
    )


def is_device_lost(error: BaseException) -> bool:
    """Tell whether an error of torch means that this process can compute nothing on its GPU any more; only a new process can."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and "cuda" in text and any(mark in text for mark in _LOSS_MARKS)


def _explain_exhaustion(plan: TrainingPlan) -> GpuOutOfMemoryError:
    """Say what was asked of the GPU, how far it got, and which batch would fit."""
    peak = torch.cuda.max_memory_allocated(plan.device) + plan.gpu_context_bytes
    budget = plan.gpu_budget_bytes
    workload = Workload(plan.model, plan.batch_size, plan.image_size, plan.amp)
    fitting = batch_after_exhaustion(workload, peak_bytes=peak, budget_bytes=budget) if budget else plan.batch_size // 2
    of_budget = f" of a budget of {in_gib(budget)}" if budget else ""
    proposal = f"batch_size {fitting} should fit" if fitting else "not even one picture at a time is expected to fit"
    return GpuOutOfMemoryError(
        f"training {plan.model} with batch_size {plan.batch_size} and image_size {plan.image_size} on {plan.device} "
        f"ran out of GPU memory: the peak was {in_gib(peak)}{of_budget}; {proposal}",
        "Lower batch_size or image_size, set amp, raise gpu_memory_gb, or set on_oom to reduce_batch.",
    )
