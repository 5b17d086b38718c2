"""Batch normalisation over the pictures of all ranks, so that several small batches normalise as the one they make up.

Owns the layers that a network gets in a training on several devices. They have the parameters, the keys and, in
prediction, the results of those they stand for. On GPUs torch's own layer does it; it has none for the CPU, where simulated
GPUs compute, so one of ours does it there.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

#: The axes of (pictures, channels, height, width) that statistics are taken over.
_ALL_BUT_CHANNELS = (0, 2, 3)


def share_statistics(network: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch normalisation of a network by one over all ranks; its state dict stays as it is."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d):
                setattr(parent, name, SharedBatchNorm2d.standing_for(layer))
    return network


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Learns with the mean and variance over the pictures of all ranks, a rank without any included.

    All ranks call it together. Made for layers with weights and running statistics, as all of the catalogue's networks are.
    """

    @classmethod
    def standing_for(cls, layer: nn.BatchNorm2d) -> "SharedBatchNorm2d":
        """Make one that shares the parameters and the running statistics of a layer."""
        shared = cls(layer.num_features, layer.eps, layer.momentum)
        shared.load_state_dict(layer.state_dict())
        return shared.train(layer.training)

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalise this rank's activations, of shape (pictures, channels, height, width)."""
        if not self.training:
            return super().forward(pictures)
        self._check_input_dim(pictures)
        normalised, mean, variance, count = _Normalise.apply(pictures, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        self._follow(mean, variance, count)
        return normalised  # type: ignore[no-any-return]

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics as torch does: no momentum means a plain average; the variance is the unbiased one."""
        assert self.running_mean is not None  # noqa: S101 - see the class
        assert self.running_var is not None  # noqa: S101
        assert self.num_batches_tracked is not None  # noqa: S101
        self.num_batches_tracked.add_(1)
        share = 1.0 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / (count - 1)), share)


class _Normalise(torch.autograd.Function):
    """Normalisation by common statistics; its derivative reaches the other ranks through them."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, int]:
        """Give the normalised activations with the mean, the biased variance and the number of values they come from."""
        count, mean, variance = _common_statistics(pictures)
        ctx.save_for_backward(pictures, weight, mean, (variance + eps).rsqrt())
        ctx.count = count
        normalised = functional.batch_norm(pictures, mean, variance, weight, bias, eps=eps) if len(pictures) else pictures.clone()
        ctx.mark_non_differentiable(mean, variance)
        return normalised, mean, variance, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor, Tensor, None]:
        """Give the gradients of activations, weight and bias; the last two of this rank's pictures only, like any layer's."""
        pictures, weight, mean, inverse = ctx.saved_tensors
        gradient, standardised = gradients[0], (pictures - _spread(mean)) * _spread(inverse)
        own = torch.stack([gradient.sum(_ALL_BUT_CHANNELS), (gradient * standardised).sum(_ALL_BUT_CHANNELS)])
        common = own / ctx.count
        distributed.all_reduce(common)
        centred = gradient - _spread(common[0]) - standardised * _spread(common[1])
        return centred * _spread(weight * inverse), own[1], own[0], None


def _common_statistics(pictures: Tensor) -> tuple[int, Tensor, Tensor]:
    """Combine the ranks' statistics: the number of values of a channel, their mean and their biased variance.

    Ranks exchange means and variances, not sums of squares, whose difference loses digits where the mean is large.

    Raises:
        ValueError: There is a single value, which has no variance; in torch's words.
    """
    channels = pictures.shape[1]
    own = torch.zeros(3, channels, dtype=torch.float64)
    if len(pictures):
        variance, mean = torch.var_mean(pictures, _ALL_BUT_CHANNELS, correction=0)
        own = torch.stack([torch.full_like(mean, pictures.numel() // channels), mean, variance]).double()
    ranks = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(ranks, own)
    counts, means, variances = torch.stack(ranks, dim=1)
    total = counts.sum(dim=0)
    if total[0] < 2:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {pictures.size()}")
    mean = (counts * means).sum(dim=0) / total
    variance = (counts * (variances + (means - mean) ** 2)).sum(dim=0) / total
    return int(total[0]), mean.to(pictures.dtype), variance.to(pictures.dtype)


def _spread(values: Tensor) -> Tensor:
    """Let a value per channel broadcast over pictures."""
    return values[:, None, None]
