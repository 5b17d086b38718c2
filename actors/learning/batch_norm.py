"""Running statistics of batch normalisation, brought up to date before a validation.

mobilenet_v3 and the larger efficientnets average their statistics with momentum 0.01: after a few hundred batches of a
small dataset the averages are still mostly their initial values, and a network that learns well validates at chance. For
such networks the statistics are measured afresh, with the weights as they are, on pictures of the training set. The
measured ones are saved with the weights, so prediction uses them too. Training itself never reads them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Final

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from actors.learning.data import BatchSource

#: torch's default momentum, 0.1, forgets its initial values within 50 batches; below it they linger.
_SLOW_MOMENTUM: Final = 0.1
#: Statistics of some thousand pictures are as good as those of all.
_PICTURES_MEASURED: Final = 2048


def has_slow_statistics(model: nn.Module) -> bool:
    """Tell whether the running statistics of a network lag so far behind that they must be measured."""
    return any(layer.momentum is not None and layer.momentum < _SLOW_MOMENTUM for layer in _layers(model))


def remeasure_statistics(model: nn.Module, source: BatchSource, epoch: int, should_stop: Callable[[], bool]) -> bool:
    """Replace running statistics by the plain average over batches of training pictures; leave the network in eval mode.

    Returns:
        Whether it came to the end before ``should_stop``.
    """
    enough = -(-_PICTURES_MEASURED // source.step_size)
    with torch.inference_mode(), _averaging(model):
        for batch in islice(source.batches(epoch), enough):
            if should_stop():
                return False
            model(batch.pictures)
    return True


def _layers(model: nn.Module) -> list[_BatchNorm]:
    """List the normalisation layers that keep running statistics."""
    return [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]


@contextmanager
def _averaging(model: nn.Module) -> Iterator[None]:
    """Let normalisation layers measure from nothing, while all others behave as in prediction (no dropout)."""
    momenta = {layer: layer.momentum for layer in _layers(model)}
    model.eval()
    for layer in momenta:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for an average with equal weights
        layer.train()
    try:
        yield
    finally:
        for layer, momentum in momenta.items():
            layer.momentum = momentum
            layer.eval()
