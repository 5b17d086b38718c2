"""What counts as exhausted GPU memory, and what the error says."""

import pickle
from pathlib import Path

import pytest
import torch

from actors.learning.device_failures import device_failures_explained, is_device_lost, is_memory_exhausted
from actors.learning.errors import GpuOutOfMemoryError
from actors.learning.plan import TrainingPlan

GIB = 2**30


def make_plan(**changes):
    here = Path()
    return TrainingPlan(
        model="resnet18",
        num_classes=2,
        train_path=here,
        val_path=here,
        output_dir=here,
        staging_dir=here,
        device="cuda:0",
        **changes,
    )


def fail(plan, error, monkeypatch, *, peak=0):
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _device: peak)
    with pytest.raises(GpuOutOfMemoryError) as caught, device_failures_explained(plan):
        raise error
    return caught.value


def test_the_error_names_peak_budget_and_a_batch_that_fits(monkeypatch):
    plan = make_plan(batch_size=64, gpu_budget_bytes=2 * GIB, gpu_context_bytes=GIB // 2)
    error = fail(plan, torch.OutOfMemoryError("CUDA out of memory"), monkeypatch, peak=5 * GIB // 4)
    assert error.code == "gpu_out_of_memory"
    assert "the peak was 1.75 GiB of a budget of 2.00 GiB; batch_size 32 should fit" in error.message
    for remedy in ("batch_size", "image_size", "amp", "gpu_memory_gb", "on_oom"):
        assert remedy in error.hint
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - made one line above


def test_where_one_picture_is_too_much_no_batch_is_proposed(monkeypatch):
    error = fail(make_plan(batch_size=1, gpu_budget_bytes=GIB), torch.OutOfMemoryError("CUDA out of memory"), monkeypatch)
    assert "not even one picture" in error.message


def test_without_a_known_budget_half_the_batch_is_proposed(monkeypatch):
    error = fail(make_plan(batch_size=8), torch.OutOfMemoryError("CUDA out of memory"), monkeypatch)
    assert "batch_size 4 should fit" in error.message
    assert "budget" not in error.message


@pytest.mark.parametrize(
    ("error", "is_exhausted"),
    [
        (torch.OutOfMemoryError("anything"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False),
    ],
)
def test_libraries_that_allocate_beside_torch_are_understood(error, is_exhausted):
    assert is_memory_exhausted(error) is is_exhausted


def test_other_failures_pass_unchanged():
    with pytest.raises(RuntimeError, match="illegal"), device_failures_explained(make_plan()):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


@pytest.mark.parametrize(
    ("error", "is_lost"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), True),
        (RuntimeError("CUDA error: uncorrectable ECC error encountered"), True),
        (RuntimeError("CUDA error: invalid argument"), False),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("hardware stack error of a network's own"), False),
        (ValueError("CUDA error: device-side assert triggered"), False),
    ],
)
def test_a_device_is_lost_after_errors_that_cuda_never_takes_back(error, is_lost):
    assert is_device_lost(error) is is_lost
