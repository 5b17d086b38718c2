"""A step of learning is what it says, and statistics of batch normalisation are brought up to date."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from actors.learning.batch_norm import has_slow_statistics, remeasure_statistics
from actors.learning.data import Batch, BatchSource, PictureSet
from actors.learning.learner import Learner
from actors.learning.plan import TrainingPlan
from actors.learning.zoo import build_model

SIDE = 32


@pytest.fixture
def plan(tmp_path: Path) -> TrainingPlan:
    return TrainingPlan(
        model="mobilenet_v3_small",
        num_classes=3,
        train_path=tmp_path,
        val_path=tmp_path,
        output_dir=tmp_path,
        staging_dir=tmp_path,
        learning_rate=1e-3,
        image_size=SIDE,
    )


def never() -> bool:
    return False


def test_learning_begins_with_the_weights_given(plan: TrainingPlan, tmp_path: Path) -> None:
    given = build_model(plan.model, 3).state_dict()
    torch.save(given, tmp_path / "given.pth")
    weights = Learner(replace(plan, weight_path=str(tmp_path / "given.pth")), (7, 7, 7)).state()["model"]
    assert all(torch.equal(value, given[key]) for key, value in weights.items())


def test_a_step_of_learning_is_one_of_plain_adam(plan: TrainingPlan) -> None:
    # In float64, where another order of the same sums does not show.
    ours = Learner(replace(plan, model="resnet18"), (7, 7, 7))
    ours.model.double()
    plain = build_model("resnet18", 3).double()
    plain.load_state_dict(ours.state()["model"])
    optimizer = torch.optim.Adam(plain.parameters(), lr=plan.learning_rate)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    for _ in range(3):
        pictures = torch.rand(6, SIDE, SIDE, 3, dtype=torch.float64).permute(0, 3, 1, 2)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(plain(pictures.contiguous()), labels)
        loss.backward()
        optimizer.step()
        loss_sum, _ = ours.learn(Batch(pictures, labels))
        assert loss_sum.item() == pytest.approx(6 * loss.item(), rel=1e-6)
    reference = plain.state_dict()
    assert all(torch.allclose(value, reference[key], atol=1e-6) for key, value in ours.state()["model"].items())


def test_rarer_classes_weigh_more_when_asked(plan: TrainingPlan) -> None:
    weights = Learner(replace(plan, class_weights=True, num_classes=4), (10, 5, 15)).class_weights
    assert weights is not None
    assert weights.tolist() == pytest.approx([1.0, 2.0, 2 / 3, 1.0])


def test_models_with_slow_statistics_are_known() -> None:
    slow = {"mobilenet_v3_small": True, "efficientnet_b5": True, "efficientnet_b0": False, "resnet18": False}
    with torch.device("meta"):
        assert {name: has_slow_statistics(build_model(name, 2)) for name in slow} == slow
        assert not has_slow_statistics(build_model("vgg11", 2))


def test_measured_statistics_are_those_of_the_training_pictures() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (64, 4, 4, 3), dtype=torch.uint8)
    source = BatchSource(PictureSet(pixels, torch.zeros(64, dtype=torch.int64), ""), 16, torch.device("cpu"))
    layer = nn.BatchNorm2d(3, momentum=0.01)
    model = nn.Sequential(layer, nn.Dropout(0.5))
    model(torch.full((4, 3, 4, 4), 9.0))
    assert remeasure_statistics(model, source, 0, never)
    assert torch.allclose(layer.running_mean, (pixels / 255).mean(dim=(0, 1, 2)), atol=1e-6)
    assert (layer.momentum, layer.training, model.training) == (0.01, False, False)
