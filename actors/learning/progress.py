"""How far a training has come and what it has achieved.

Owns the bookkeeping of batches and epochs. It computes no metric of a validation and writes nothing.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from actors.learning.errors import TrainingDivergedError
from actors.learning.metrics import EpochMetrics, ValidationMetrics


@dataclass(slots=True)
class Progress:
    """The books of one training; the loop that trains is the only one to change them.

    ``history`` has an entry per epoch done, and ``position`` and the sums speak of the epoch after those.
    """

    total_epochs: int
    #: Epochs done.
    epoch: int = 0
    #: Batches and pictures done of the epoch after those.
    step: int = 0
    position: int = 0
    #: Over those pictures: sum of their losses (float64), and number of right answers. They stay on the device that
    #: computed them, since reading them makes the CPU wait for it.
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    history: list[dict[str, float]] = field(default_factory=list)
    #: Pictures by [true class][predicted class] in the last validation.
    confusion: list[list[int]] = field(default_factory=list)
    best_acc: float = 0.0
    #: The epoch of ``best_acc``, counted from 1; 0 where there is none.
    best_epoch: int = 0

    @property
    def current_epoch(self) -> int:
        """The number, counted from 1, of the epoch in work or about to begin."""
        return self.epoch + 1

    def is_over(self, patience: int | None) -> bool:
        """Tell whether all epochs are done, or the last ``patience`` of them brought nothing better."""
        if self.epoch >= self.total_epochs:
            return True
        return patience is not None and self.best_epoch > 0 and self.epoch - self.best_epoch >= patience

    def count_batch(self, loss_sum: Tensor, correct: Tensor, pictures: int) -> None:
        """Book a batch."""
        self.loss_sum = loss_sum + self.loss_sum.to(loss_sum.device)
        self.correct = correct + self.correct.to(correct.device)
        self.position += pictures
        self.step += 1

    def train_metrics(self) -> dict[str, float]:
        """Give the loss and the accuracy (percent) over the pictures of this epoch so far.

        Raises:
            TrainingDivergedError: The loss is no number any more.
        """
        loss = self.loss_sum.item() / self.position
        if not torch.tensor(loss).isfinite():
            raise TrainingDivergedError(
                f"the loss became {loss} in epoch {self.current_epoch}", "Lower learning_rate, or check the pictures."
            )
        return {
            "epoch": self.current_epoch,
            "total_epochs": self.total_epochs,
            "train_loss": loss,
            "train_acc": 100.0 * self.correct.item() / self.position,
        }

    def close_epoch(self, validation: ValidationMetrics, learning_rate: float) -> bool:
        """Book the results of an epoch and begin the next.

        Returns:
            Whether this epoch is the best so far.

        Raises:
            TrainingDivergedError: The loss is no number any more.
        """
        learnt = self.train_metrics()
        self.epoch += 1
        is_best = self.best_epoch == 0 or validation.val_acc > self.best_acc
        if is_best:
            self.best_acc, self.best_epoch = validation.val_acc, self.epoch
        metrics = EpochMetrics(
            epoch=self.epoch,
            total_epochs=self.total_epochs,
            train_loss=learnt["train_loss"],
            train_acc=learnt["train_acc"],
            validation=validation,
            learning_rate=learning_rate,
            best_acc=self.best_acc,
        )
        self.history.append(metrics.as_dict())
        self.confusion = [list(row) for row in validation.confusion]
        self.restart_epoch()
        return is_best

    def restart_epoch(self) -> None:
        """Forget the batches since the last whole epoch."""
        self.step = self.position = 0
        self.loss_sum = torch.zeros((), dtype=torch.float64)
        self.correct = torch.zeros((), dtype=torch.int64)

    def as_dict(self) -> dict[str, Any]:
        """Give the books as plain values."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "position": self.position,
            "loss_sum": self.loss_sum.item(),
            "correct": self.correct.item(),
            "history": list(self.history),
            "confusion": self.confusion,
            "best_acc": self.best_acc,
            "best_epoch": self.best_epoch,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], total_epochs: int) -> "Progress":
        """Rebuild the books from what ``as_dict`` gave."""
        sums = {
            "loss_sum": torch.tensor(values["loss_sum"], dtype=torch.float64),
            "correct": torch.tensor(values["correct"], dtype=torch.int64),
        }
        return cls(**{**values, **sums, "total_epochs": total_epochs})
