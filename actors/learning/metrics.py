"""How well a network does, in the words of the HTTP contract.

Owns the names and units of the metrics: accuracies and top-k are percent (0..100); F1, precision, recall and mAP are
fractions (0..1), as the origin logs them. Everything is computed by torchmetrics from all predictions of a validation at
once, never averaged over batches.

torchmetrics is imported at the first use: it takes about a second, which the first training step need not wait for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

TOP_KS: Final = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class ValidationMetrics:
    """The quality of a network on a validation set."""

    val_loss: float
    val_acc: float
    macro_f1: float
    micro_f1: float
    #: Mean over the classes present of the average precision of each against the rest.
    mean_average_precision: float
    top1_acc: float
    top3_acc: float
    top5_acc: float
    macro_precision: float
    macro_recall: float
    micro_precision: float
    micro_recall: float
    #: Number of pictures by [true class][predicted class], in index order.
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class EpochMetrics:
    """All that is reported of one epoch."""

    #: Counted from 1.
    epoch: int
    total_epochs: int
    train_loss: float
    train_acc: float
    validation: ValidationMetrics
    learning_rate: float
    best_acc: float

    def as_dict(self) -> dict[str, float]:
        """Give the metrics by the names of the HTTP contract, in its order."""
        validation = asdict(self.validation)
        del validation["confusion"]
        validation["mAP"] = validation.pop("mean_average_precision")
        return {
            "epoch": self.epoch,
            "total_epochs": self.total_epochs,
            "train_loss": self.train_loss,
            "train_acc": self.train_acc,
            **validation,
            "precision": self.validation.macro_precision,
            "recall": self.validation.macro_recall,
            "f1_score": self.validation.macro_f1,
            "learning_rate": self.learning_rate,
            "best_acc": self.best_acc,
        }


def validation_metrics(logits: Tensor, labels: Tensor, *, class_weights: Tensor | None = None) -> ValidationMetrics:
    """Compute every metric of a validation.

    Args:
        logits: Network outputs of shape (pictures, classes).
        labels: True class indexes of shape (pictures,).
        class_weights: Weights of the loss, of shape (classes,).
    """
    # Before torchmetrics, which imports torchvision: `vision` makes that possible on every machine.
    from actors.learning import vision  # noqa: F401, PLC0415 (see the module's docstring)

    logits, labels = logits.float().cpu(), labels.cpu()
    weights = class_weights.cpu() if class_weights is not None else None
    probabilities = _at_least_two_classes(logits.softmax(dim=1))
    return ValidationMetrics(
        val_loss=functional.cross_entropy(logits, labels, weight=weights).item(),
        val_acc=_top_k_accuracy(probabilities, labels, 1),
        mean_average_precision=_mean_average_precision(probabilities, labels),
        confusion=_confusion(logits.argmax(dim=1), labels, logits.shape[1]),
        **{f"top{k}_acc": _top_k_accuracy(probabilities, labels, k) for k in TOP_KS},
        **_averaged(probabilities, labels),
    )


def _at_least_two_classes(probabilities: Tensor) -> Tensor:
    """Add an impossible class to a single one: torchmetrics' multiclass metrics need two."""
    return functional.pad(probabilities, (0, 1)) if probabilities.shape[1] == 1 else probabilities


def _top_k_accuracy(probabilities: Tensor, labels: Tensor, k: int) -> float:
    """Give the percentage of pictures whose true class is among the ``k`` most probable; 100 with k classes or fewer."""
    from torchmetrics.functional.classification import multiclass_accuracy  # noqa: PLC0415

    classes = probabilities.shape[1]
    if k >= classes:
        return 100.0
    return 100.0 * float(multiclass_accuracy(probabilities, labels, num_classes=classes, average="micro", top_k=k))


def _averaged(probabilities: Tensor, labels: Tensor) -> Mapping[str, float]:
    """Give F1, precision and recall, over classes (macro) and over pictures (micro)."""
    from torchmetrics.functional import classification  # noqa: PLC0415

    functions = {
        "f1": classification.multiclass_f1_score,
        "precision": classification.multiclass_precision,
        "recall": classification.multiclass_recall,
    }
    return {
        f"{average}_{name}": float(function(probabilities, labels, num_classes=probabilities.shape[1], average=average))
        for average in ("macro", "micro")
        for name, function in functions.items()
    }


def _mean_average_precision(probabilities: Tensor, labels: Tensor) -> float:
    """Average the one-against-rest precision over the classes that have pictures; others have no defined value."""
    from torchmetrics.functional.classification import multilabel_average_precision  # noqa: PLC0415

    present = torch.unique(labels)
    is_class = (labels[:, None] == present[None, :]).long()
    if len(present) == 1:
        return 1.0
    return float(multilabel_average_precision(probabilities[:, present], is_class, num_labels=len(present)))


def _confusion(predicted: Tensor, labels: Tensor, classes: int) -> tuple[tuple[int, ...], ...]:
    """Count pictures by true and predicted class."""
    counts = torch.bincount(labels * classes + predicted, minlength=classes * classes)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())
