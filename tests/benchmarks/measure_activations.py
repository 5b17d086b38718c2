"""Measure what every model of the zoo keeps in memory, and print it as the rows of ``actors/learning/memory_costs.py``.

    python -m tests.benchmarks.measure_activations [MODEL ...]

Goes through the real networks with tensors that have shapes and storages but no contents, with two pictures and with one: the
difference is what one picture costs. Mixed precision is the CPU's bfloat16, which keeps the same tensors as a GPU's.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from actors.learning.catalog import SUPPORTED_MODELS
from actors.learning.memory_costs import REFERENCE_CLASSES, REFERENCE_SIDE, ModelCost
from actors.learning.zoo import build_model


@dataclass(frozen=True, slots=True)
class Kept:
    """What a forward pass keeps for the backward pass, each storage once and without the weights; in bytes."""

    total: int
    largest: int


def measure_cost(name: str, side: int = REFERENCE_SIDE) -> ModelCost:
    """Measure one model with pictures of ``side`` pixels."""
    # Filling weights with a truncated normal distribution looks at values, of which there are none here.
    with FakeTensorMode(), patch("torch.nn.init.trunc_normal_"):
        model = build_model(name, REFERENCE_CLASSES).train()
        plain, mixed = (measure_picture(model, side, mixed_precision=is_mixed) for is_mixed in (False, True))
    parameters = sum(weight.numel() for weight in model.parameters())
    return ModelCost(parameters, plain.total, mixed.total, plain.largest)


def measure_picture(model: nn.Module, side: int, *, mixed_precision: bool) -> Kept:
    """What one more picture in the batch adds to what the forward pass of a model keeps."""

    def keep(count: int) -> Kept:
        pictures = torch.rand(count, 3, side, side)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed_precision):
            return count_kept(model, lambda: model(pictures))

    one, two = keep(1), keep(2)
    return Kept(two.total - one.total, two.largest - one.largest)


def count_kept(model: nn.Module, forward: Callable[[], Tensor]) -> Kept:
    """Count the storages that ``forward`` keeps for the backward pass."""
    own = {_identity(weight) for weight in model.parameters()}
    # The tensors are held here, so that no storage can be freed and its identity given to another one while counting.
    kept: dict[int, Tensor] = {}

    def hold(tensor: Tensor) -> Tensor:
        # Detached: a tensor that its own graph holds would never be freed.
        return kept.setdefault(_identity(tensor), tensor.detach())

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        forward()
    sizes = [tensor.untyped_storage().nbytes() for identity, tensor in kept.items() if identity not in own]
    return Kept(sum(sizes), max(sizes))


def _identity(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def main(names: list[str]) -> None:
    """Print one row for each model."""
    for name in names or SUPPORTED_MODELS:
        cost = measure_cost(name)
        figures = (cost.parameters, cost.kept_bytes, cost.kept_bytes_mixed, cost.largest_bytes)
        print(f'        "{name}": ModelCost({", ".join(f"{figure:_}" for figure in figures)}),', flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
