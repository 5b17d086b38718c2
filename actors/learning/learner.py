"""A network together with what changes it: optimiser, loss and mixed precision.

Owns one step of learning and one of prediction. It knows nothing of epochs, files or reports.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from actors.learning.checkpoint import snapshot
from actors.learning.data import Batch
from actors.learning.plan import TrainingPlan
from actors.learning.zoo import build_model, load_weights


class Learner:
    """A network on its device, and its optimiser; each ``learn`` moves both by one step."""

    def __init__(self, plan: TrainingPlan, class_counts: Sequence[int]) -> None:
        self.device = torch.device(plan.device)
        # Pictures arrive with channels last; with weights in that order too, no layer has to reorder. Measured on a CPU at
        # 128 pixels against torch's default order: 10 % less time a step for resnet18, 35 % for mobilenet_v3_small.
        self.model = _initial_model(plan).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Fused: one kernel for all weights instead of several for each; measured 6 % of the same step.
        self._optimizer = torch.optim.Adam(self.model.parameters(), lr=plan.learning_rate, fused=True)
        self.class_weights = _class_weights(class_counts, plan.num_classes).to(self.device) if plan.class_weights else None
        self._precision = _mixed_precision(self.device) if plan.amp else None
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=self._precision is torch.float16)

    @property
    def learning_rate(self) -> float:
        """The optimiser's current learning rate."""
        return float(self._optimizer.param_groups[0]["lr"])

    def learn(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Change the weights by one batch.

        Returns:
            The sum of the pictures' losses and the number of right answers, still on the device: reading them there and
            then would make the CPU wait for the GPU at every batch.
        """
        self._optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            logits = self.model(batch.pictures)
            loss = functional.cross_entropy(logits, batch.labels, weight=self.class_weights)
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self._optimizer)
        self._scaler.update()
        return loss.detach().double() * len(batch), (logits.detach().argmax(dim=1) == batch.labels).sum()

    def predict(self, batch: Batch) -> Tensor:
        """Give the logits of a batch, of shape (pictures, classes), with the network in eval mode."""
        with torch.inference_mode(), self._autocast():
            return torch.as_tensor(self.model(batch.pictures)).float()

    def weights(self) -> dict[str, Tensor]:
        """Copy the bare state dict to the CPU, in torch's default order, which other formats insist on."""
        return {key: snapshot(value).contiguous() for key, value in self.model.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Copy everything that further steps depend on to the CPU."""
        return {
            "model": self.weights(),
            "optimizer": snapshot(self._optimizer.state_dict()),
            "scaler": self._scaler.state_dict(),
        }

    def restore(self, model: dict[str, Any], optimizer: dict[str, Any], scaler: dict[str, Any]) -> None:
        """Continue from a copied state, with the learning rate asked for now."""
        learning_rate = self.learning_rate
        self.model.load_state_dict(model)
        self._optimizer.load_state_dict(optimizer)
        self._optimizer.param_groups[0]["lr"] = learning_rate
        if scaler:
            self._scaler.load_state_dict(scaler)

    def _autocast(self) -> torch.autocast:
        """Open a region of mixed precision, or of none."""
        return torch.autocast(self.device.type, dtype=self._precision, enabled=self._precision is not None)


def _initial_model(plan: TrainingPlan) -> nn.Module:
    """Build the network with the weights that the plan begins with; a resumed training brings its own."""
    if plan.resume_from:
        return build_model(plan.model, plan.num_classes)
    if not plan.weight_path:
        return build_model(plan.model, plan.num_classes, pretrained=plan.pretrained)
    model = build_model(plan.model, plan.num_classes)
    load_weights(model, Path(plan.weight_path), expected_classes=plan.num_classes)
    return model


def _class_weights(counts: Sequence[int], num_classes: int) -> Tensor:
    """Weigh classes in inverse proportion to their pictures, 1 on average over pictures; nameless ones weigh 1."""
    weights = torch.ones(num_classes)
    weights[: len(counts)] = sum(counts) / (len(counts) * torch.tensor(counts, dtype=torch.float32))
    return weights


def _mixed_precision(device: torch.device) -> torch.dtype | None:
    """Choose the type of mixed precision: the CPU gains nothing, and bfloat16 needs no scaling of the loss."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
