"""Runs small trainings in a folder of a test."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from actors.learning.checkpoint import read_resume_state
from actors.learning.training import TrainingOutcome, TrainingPlan, TrainingRecord, train

SIDE = 32
COLOURS = {"blue": (20, 40, 220), "green": (30, 200, 50), "red": (220, 30, 30)}


def write_trees(root: Path) -> Path:
    """Write a few noisy pictures of three colours, for training and validation."""
    random = np.random.default_rng(1)
    for tree, count in (("train", 7), ("valid", 3)):
        for name, colour in COLOURS.items():
            (root / tree / name).mkdir(parents=True)
            for index in range(count):
                noise = random.normal(0, 40, (SIDE, SIDE, 3))
                pixels = np.clip(noise + colour, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / tree / name / f"{index}.png")
    return root


def make_plan(trees: Path, folder: Path) -> TrainingPlan:
    (folder / "out").mkdir()
    return TrainingPlan(
        model="mobilenet_v3_small",
        num_classes=3,
        train_path=trees / "train",
        val_path=trees / "valid",
        output_dir=folder / "out",
        staging_dir=folder / "staging",
        batch_size=5,
        num_epochs=2,
        learning_rate=1e-3,
        image_size=SIDE,
        seed=11,
        threads=1,
        task_id="t-1",
        project_version="3.0.0",
    )


def never() -> bool:
    return False


def after(batches: int) -> Callable[[], bool]:
    """Ask to stop once so many batches have been let through; the first question comes with decoding, twice."""
    asked = iter(range(10_000))
    return lambda: next(asked) >= batches + 2


def run(
    plan: TrainingPlan, should_stop: Callable[[], bool] = never, **settings: object
) -> tuple[TrainingOutcome, list[TrainingRecord]]:
    records: list[TrainingRecord] = []
    return train(plan, report=records.append, should_stop=should_stop, **settings), records


def noting_positions(plan: TrainingPlan) -> tuple[list[int], Callable[[Sequence[tuple[Path, str]]], None]]:
    """Publish into the output folder, and note how far into its epoch each new checkpoint is."""
    positions: list[int] = []

    def publish_all(files: Sequence[tuple[Path, str]]) -> None:
        for staged, name in files:
            if name == "last.ckpt":
                positions.append(read_resume_state(staged).progress["position"])
            staged.replace(plan.output_dir / name)

    return positions, publish_all


def elsewhere(plan: TrainingPlan, name: str) -> TrainingPlan:
    output = plan.output_dir.parent / name
    output.mkdir()
    return replace(plan, output_dir=output)


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def assert_same_weights(one: Path, other: Path) -> None:
    left, right = weights_in(one), weights_in(other)
    assert left.keys() == right.keys()
    assert all(torch.equal(left[key], right[key]) for key in left)
