"""How much memory versions take."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from torch import nn

from actors.learning.memory_costs import COSTS, REFERENCE_SIDE
from actors.registry.records import ServedVersion

#: Tensors as large as the largest one that are alive at once: what a layer takes and makes, what a shortcut keeps, and scratch.
_ALIVE: Final = 4


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a version takes.

    Attributes:
        weights_bytes: as long as it is held.
        working_bytes: while its largest batch is computed. Versions share it, since one forward pass runs at a time.
    """

    weights_bytes: int
    working_bytes: int


def total_bytes(footprints: Iterable[Footprint]) -> int:
    """What versions take together: all weights, and the working memory of the most demanding one."""
    each = tuple(footprints)
    return sum(one.weights_bytes for one in each) + max((one.working_bytes for one in each), default=0)


def expect_footprint(model: ServedVersion, max_batch: int) -> Footprint:
    """Tell what a version will take, from its file and from what was measured of its architecture."""
    path = Path(model.weights_path)
    # What the file lacks, the load will say.
    weights_bytes = path.stat().st_size if path.is_file() else 0
    return Footprint(weights_bytes, working_bytes(model, max_batch))


def working_bytes(model: ServedVersion, max_batch: int) -> int:
    """Tell what computing a batch takes beside the weights; layers grow with the area of the pictures."""
    area = (model.image_size / REFERENCE_SIDE) ** 2
    return int(_ALIVE * COSTS[model.architecture].largest_bytes * area * max_batch)


def bytes_of(network: nn.Module) -> int:
    """Count a network's parameters and buffers."""
    return sum(tensor.nbytes for tensor in (*network.parameters(), *network.buffers()))
