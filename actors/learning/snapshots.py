"""Copies of a training's state, for a thread that writes them while the training goes on.

Owns the memory of such a copy. Nothing here runs in several threads at once: for pieces of this size that gains little, and where
other programs keep the processor busy, the threads wait for each other many times longer than the copying takes (measured for
resnet18 beside four busy processes on two cores: 31 ms in one thread, 440 ms in two).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


class StateCopy:
    """The memory of one copy, kept from one copy to the next: to touch fresh memory takes longer than the copying itself.

    Whatever ``take`` gave is overwritten by the next ``take``. Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._memory: Any = None

    def reserve(self, state: Any) -> None:
        """Make the memory for copies of such a state, and touch it; nothing of the state is read but its shapes."""
        self._memory = _blank(state)

    def take(self, state: Any) -> Any:
        """Copy a state to the CPU."""
        self._memory = snapshot(state, self._memory)
        return self._memory


def snapshot(value: Any, into: Any = None) -> Any:
    """Copy nested tensors and plain values to the CPU, into the memory of an earlier copy wherever that fits."""
    if isinstance(value, Tensor):
        return _copy(value.detach(), into)
    if isinstance(value, Mapping):
        parts = into if isinstance(into, Mapping) else {}
        return {key: snapshot(item, parts.get(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = into if isinstance(into, list) and len(into) == len(value) else [None] * len(value)
        return [snapshot(item, part) for item, part in zip(value, items, strict=True)]
    return value


def in_default_order(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give tensors on the CPU in torch's default order of memory, which other formats insist on."""
    return {key: torch.from_numpy(np.asarray(value.numpy(), order="C")) for key, value in weights.items()}


def _copy(value: Tensor, into: Any) -> Tensor:
    """Copy a tensor in its own order of memory, which is the fastest."""
    copy = into if isinstance(into, Tensor) and _fits(into, value) else _memory_for(value)
    if value.is_cpu:
        np.copyto(copy.numpy(), value.numpy())
    else:
        copy.copy_(value)
    return copy


def _blank(state: Any) -> Any:
    """Give zeros of the shapes of a state's tensors, in the same nesting."""
    if isinstance(state, Tensor):
        memory = _memory_for(state)
        memory.numpy().fill(0)
        return memory
    if isinstance(state, Mapping):
        return {key: _blank(item) for key, item in state.items()}
    return [_blank(item) for item in state] if isinstance(state, list | tuple) else None


def _memory_for(value: Tensor) -> Tensor:
    return torch.empty_like(value, device="cpu", requires_grad=False)


def _fits(memory: Tensor, value: Tensor) -> bool:
    return memory.shape == value.shape and memory.dtype == value.dtype and memory.stride() == value.stride()
