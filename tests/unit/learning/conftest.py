"""A small training and its outcome, for tests that have none of their own."""

from pathlib import Path

import pytest

from actors.learning.training import TrainingOutcome, TrainingPlan
from tests.unit.learning.training_runs import make_plan, run, write_trees


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trees(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def plan(trees: Path, tmp_path: Path) -> TrainingPlan:
    return make_plan(trees, tmp_path)


@pytest.fixture(scope="session")
def uninterrupted(trees: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOutcome, Path]:
    plan = make_plan(trees, tmp_path_factory.mktemp("uninterrupted"))
    return run(plan)[0], plan.output_dir
