"""Metrics follow their definitions, in the units and under the names of the contract."""

import pytest
import torch
from torch import Tensor

from actors.learning.metrics import EpochMetrics, ValidationMetrics, validation_metrics

CONTRACT = [
    *("epoch", "total_epochs", "train_loss", "train_acc", "val_loss", "val_acc", "macro_f1", "micro_f1", "mAP"),
    *("top1_acc", "top3_acc", "top5_acc", "macro_precision", "macro_recall", "micro_precision", "micro_recall"),
    *("precision", "recall", "learning_rate", "best_acc", "f1_score"),
]


def logits_for(predicted: list[int], classes: int) -> Tensor:
    return torch.nn.functional.one_hot(torch.tensor(predicted), classes).float() * 4


def measure(predicted: list[int], truth: list[int], classes: int) -> ValidationMetrics:
    return validation_metrics(logits_for(predicted, classes), torch.tensor(truth))


def test_a_worked_example() -> None:
    # truth 0 0 0 1 1 2, predicted 0 0 1 1 2 2: precision 1, 1/2, 1/2; recall 2/3, 1/2, 1; F1 4/5, 1/2, 2/3.
    metrics = measure([0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 2], 3)
    assert metrics.val_acc == pytest.approx(100 * 4 / 6)
    assert metrics.macro_precision == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)
    assert metrics.macro_recall == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert metrics.macro_f1 == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert metrics.micro_f1 == metrics.micro_precision == metrics.micro_recall == pytest.approx(4 / 6)
    assert metrics.confusion == ((2, 1, 0), (0, 1, 1), (0, 0, 1))


def test_a_perfect_network_has_the_best_of_everything() -> None:
    metrics = measure([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], 6)
    assert (metrics.val_acc, metrics.top3_acc, metrics.top5_acc) == (100.0, 100.0, 100.0)
    assert (metrics.macro_f1, metrics.micro_f1, metrics.mean_average_precision) == (1.0, 1.0, 1.0)


def test_top_k_counts_the_k_most_probable_classes() -> None:
    logits = torch.tensor([[6.0, 5, 4, 3, 2, 1]] * 6)
    metrics = validation_metrics(logits, torch.arange(6))
    assert metrics.top1_acc == metrics.val_acc == pytest.approx(100 / 6)
    assert metrics.top3_acc == pytest.approx(300 / 6)
    assert metrics.top5_acc == pytest.approx(500 / 6)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_top_k_with_k_not_under_the_class_count_is_100(classes: int) -> None:
    metrics = measure([0] * 4, [classes - 1] * 4, classes)
    assert metrics.top3_acc == metrics.top5_acc == 100.0


def test_the_mean_average_precision_ranks_each_class_against_the_rest() -> None:
    # Class 0: its two pictures rank first and third: (1 + 2/3) / 2. Class 1: its one picture ranks second: 1/2.
    scores = torch.tensor([0.9, 0.6, 0.7])
    logits = torch.stack([scores, 1 - scores], dim=1).log()
    metrics = validation_metrics(logits, torch.tensor([0, 0, 1]))
    assert metrics.mean_average_precision == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)


def test_classes_without_validation_pictures_do_not_count_in_the_mean_average_precision() -> None:
    assert measure([0, 1, 0, 1], [0, 1, 0, 1], 7).mean_average_precision == 1.0


def test_a_single_class_can_be_measured() -> None:
    metrics = measure([0, 0], [0, 0], 1)
    assert (metrics.val_acc, metrics.macro_f1, metrics.val_loss, metrics.confusion) == (100.0, 1.0, 0.0, ((2,),))


def test_class_weights_weigh_the_loss() -> None:
    logits, labels = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    plain = validation_metrics(logits, labels).val_loss
    assert validation_metrics(logits, labels, class_weights=torch.tensor([1.0, 3.0])).val_loss > plain


def test_an_epoch_reports_exactly_the_metrics_of_the_contract() -> None:
    validation = measure([0, 1, 1], [0, 1, 0], 2)
    epoch = EpochMetrics(
        epoch=2,
        total_epochs=9,
        train_loss=0.5,
        train_acc=60.0,
        validation=validation,
        learning_rate=1e-4,
        best_acc=70.0,
    ).as_dict()
    assert sorted(epoch) == sorted(CONTRACT)
    assert (epoch["epoch"], epoch["best_acc"], epoch["mAP"]) == (2, 70.0, validation.mean_average_precision)
    assert epoch["f1_score"] == epoch["macro_f1"] == validation.macro_f1
    assert (epoch["precision"], epoch["recall"]) == (validation.macro_precision, validation.macro_recall)
