"""Making a process fit for the device that it computes on: what it sees, how many threads it has and how urgent it is."""

import ctypes
import os
from contextlib import suppress
from typing import Final

from actors.core.model import Device, DeviceKind

#: The largest nice value: everything else on the machine goes first.
_NICEST = 19
#: glibc's names of two bounds, and what they are set to: blocks from this size on are mapped on their own (no more is
#: possible), and so much freed memory stays with the process.
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MAPPED_FROM_BYTES: Final = 32 << 20
_KEPT_BYTES: Final = 128 << 20


def blank_gpus_for_cpu_work(device: Device) -> None:
    """Hide the node's GPUs from a process that computes on a CPU. Call it before torch is imported."""
    if device.kind is DeviceKind.CPU or device.simulated:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def choose_thread_count(device: Device, sharers: int = 1) -> int:
    """The CPU threads for a process: a CPU device's cores, else the machine's; the ranks of a gang share them."""
    return max(1, (device.cores or os.cpu_count() or 1) // sharers)


def set_thread_count(threads: int) -> None:
    """Tell the numeric libraries how many threads to make. Call it before they are imported: Ray sets 1."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)


def keep_freed_memory() -> None:
    """Let the allocator keep some freed memory for the next array, instead of giving it back to the kernel at once.

    Arrays of pictures and blocks of samples come and go thousands of times; fresh pages for each can cost more than the
    arithmetic. Where the C library is not glibc nothing changes.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _MAPPED_FROM_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)


def yield_to_serving() -> None:
    """Let the calling thread, and every thread it will make, run only where nothing more urgent wants the processor.

    Must come before torch makes its pools. The thread that keeps the lease alive is made earlier and stays as it was.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        return
    with suppress(OSError):
        os.nice(_NICEST)


def torch_device(device: Device) -> str:
    """What torch calls a device: the one GPU that the process sees, else the CPU (simulated GPUs compute there)."""
    is_gpu = device.kind is DeviceKind.GPU and not device.simulated
    return "cuda:0" if is_gpu else "cpu"
