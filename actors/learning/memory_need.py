"""How much memory of a GPU a piece of learning needs: by a formula before it was ever run, by measurement afterwards.

Owns the arithmetic, both ways: what a batch needs, and the largest batch that a budget carries. Pure, and it must not import torch: the
process that checks submissions asks it, and torch's import alone costs 300 MB. Where peaks are kept is the caller's affair.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Final

from actors.learning.memory_costs import COSTS, REFERENCE_SIDE

GIB: Final = 2**30
#: The CUDA context, the workspaces of cuBLAS and cuDNN, and what the allocator loses to rounding.
RESERVE_BYTES: Final = 768 * 2**20
#: Weight, gradient and the two moments of Adam, all in single precision.
_TRAINING_BYTES_PER_PARAMETER: Final = 16
_WEIGHT_BYTES: Final = 4
#: Mixed precision casts every weight once a step and keeps the copy for the backward pass.
_CAST_WEIGHT_BYTES: Final = 2
#: Tensors as large as the largest activation that live beside what is kept: a layer's input, its output, and one to work with.
_WORKING_TENSORS: Final = 3
#: Networks halve the side five times and round it up each time, and the windows of swin_v2 are padded: full steps of this are charged.
_SIDE_STEP: Final = 32


@dataclass(frozen=True, slots=True)
class Workload:
    """What decides how much memory a training takes; the width of the head and the number of devices hardly matter."""

    model: str
    batch_size: int
    #: Side of the square pictures, in pixels.
    image_size: int
    mixed_precision: bool


@dataclass(frozen=True, slots=True)
class Peak:
    """What a training on a real GPU was seen to need: the most that its tensors took at once, and the CUDA context."""

    workload: Workload
    peak_bytes: int


@dataclass(frozen=True, slots=True)
class Need:
    """An estimate, and whether it comes from measured peaks or from the formula alone."""

    need_bytes: int
    is_measured: bool


def training_workload(request: Mapping[str, Any]) -> Workload:
    """The workload of a training request on a GPU, where ``amp`` left to itself means mixed precision."""
    amp = request.get("amp", "auto")
    return Workload(request["model"], request["batch_size"], request["image_size"], mixed_precision=amp == "auto" or bool(amp))


def estimate_need(model: str, *, batch_size: int, image_size: int, mixed_precision: bool, is_training: bool = True) -> int:
    """Estimate the GPU memory in bytes that a model needs, by the formula.

    What depends on the pictures grows with their number and their area. That holds for every model here: swin_v2 attends inside
    windows of one size, so twice the area is twice the windows, and the vision transformers, whose attention would grow with the
    square of the area, take pictures of one size only.

    Args:
        model: One of ``catalog.SUPPORTED_MODELS``.
        batch_size: Pictures in a batch.
        image_size: Side of the square pictures, in pixels.
        mixed_precision: Whether the network computes in half precision where it may.
        is_training: Whether it learns, or only predicts.
    """
    cost = COSTS[model]
    pictures = batch_size * (ceil(image_size / _SIDE_STEP) * _SIDE_STEP / REFERENCE_SIDE) ** 2
    per_parameter = _TRAINING_BYTES_PER_PARAMETER if is_training else _WEIGHT_BYTES
    per_picture = _WORKING_TENSORS * cost.largest_bytes
    if mixed_precision:
        per_parameter += _CAST_WEIGHT_BYTES
    if is_training:
        per_picture += cost.kept_bytes_mixed if mixed_precision else cost.kept_bytes
    return round(cost.parameters * per_parameter + pictures * per_picture) + RESERVE_BYTES


class NeedEstimator:
    """Estimates that get better with every measured peak.

    Invariant: one peak for each workload, the last one learned. ``learn`` replaces the mapping instead of changing it, so another
    thread may estimate meanwhile.
    """

    def __init__(self) -> None:
        self._peaks: Mapping[Workload, int] = {}

    def learn(self, peak: Peak) -> None:
        """Take in what a training was seen to need."""
        self._peaks = {**self._peaks, peak.workload: peak.peak_bytes}

    def estimate(self, workload: Workload) -> Need:
        """Estimate what a training needs.

        Measured exactly: that. Measured with other batches of the same pictures: linear in the batch through two of them, or
        through one and the part that no batch changes. Never measured: the formula.
        """
        if workload in self._peaks:
            return Need(self._peaks[workload], is_measured=True)
        alike = sorted(
            (known.batch_size, peak)
            for known, peak in self._peaks.items()
            if replace(known, batch_size=workload.batch_size) == workload
        )
        if not alike:
            return Need(_formula(workload), is_measured=False)
        return Need(_through(alike, workload), is_measured=True)

    def largest_batch(self, workload: Workload, budget_bytes: int) -> int:
        """The largest batch, up to the one of ``workload``, that is expected to fit into a budget; 0 where not even one picture is."""
        batches = range(1, workload.batch_size + 1)
        return bisect_right(batches, budget_bytes, key=lambda batch: self.estimate(replace(workload, batch_size=batch)).need_bytes)


def batch_after_exhaustion(workload: Workload, *, peak_bytes: int, budget_bytes: int) -> int:
    """The largest batch that should fit where this one ran out of memory, at most half of it; 0 where not even one picture would.

    The peak is where the training broke off, so it needs more than that: the formula is believed where it says more.
    """
    estimator = NeedEstimator()
    estimator.learn(Peak(workload, max(peak_bytes, _formula(workload))))
    return min(workload.batch_size // 2, estimator.largest_batch(workload, budget_bytes))


def in_gib(size_bytes: int) -> str:
    """An amount of memory for people."""
    return f"{size_bytes / GIB:.2f} GiB"


def _formula(workload: Workload) -> int:
    return estimate_need(
        workload.model,
        batch_size=workload.batch_size,
        image_size=workload.image_size,
        mixed_precision=workload.mixed_precision,
    )


def _through(alike: list[tuple[int, int]], workload: Workload) -> int:
    """Draw the line through measured (batch, bytes), sorted by batch, and read it at a batch that was not measured."""
    batch = workload.batch_size
    below = [point for point in alike if point[0] < batch]
    above = [point for point in alike if point[0] > batch]
    # Between two measurements their line is the nearest truth; beyond all of them the widest base errs least.
    (low, low_bytes), (high, high_bytes) = (below[-1], above[0]) if below and above else (alike[0], alike[-1])
    if high > low and high_bytes > low_bytes:
        return max(0, round(low_bytes + (high_bytes - low_bytes) * (batch - low) / (high - low)))
    fixed = _fixed_part(replace(workload, batch_size=high), high_bytes)
    return round(fixed + (high_bytes - fixed) * batch / high)


def _fixed_part(workload: Workload, peak_bytes: int) -> float:
    """The part of a peak that no batch changes.

    The formula's, shrunk in proportion where it expected more than was measured, so that a batch always costs something.
    """
    fixed = _formula(replace(workload, batch_size=0))
    return min(fixed, peak_bytes * fixed / _formula(workload))
