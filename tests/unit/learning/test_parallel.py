"""Ranks that train together do what one device would with all their pictures, stop together, and notice who is lost.

Every rank is a process. They are forked from a server that has imported what they need, so that starting one costs little.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from actors.learning.checkpoint import read_resume_state
from actors.learning.data import BatchSource, PictureSet
from actors.learning.learner import Learner
from actors.learning.parallel import Gang, RankLostError, join
from actors.learning.plan import TrainingOutcome, TrainingPlan
from actors.learning.training import train
from actors.learning.zoo import build_model, load_weights

SIDE = 32
CPU = torch.device("cpu")
#: Classes of unequal size, so that their weights in the loss differ; 21 pictures are 8, 8 and 5 for two ranks of 4.
COLOURS = {"blue": ((20, 40, 220), 9), "green": ((30, 200, 50), 7), "red": ((220, 30, 30), 5)}
#: Of every figure of two epochs, relative. In float32 another order of the same sums shows, and Adam magnifies it from step
#: to step; measured was 4e-6 for train_loss and 6e-5 for val_loss. In float64, six steps agree to 1e-10.
TOLERANCE = 1e-3
DEADLINE_S = 120.0


@dataclass(frozen=True)
class Wish:
    """What a rank does when it is asked for the ``question``-th time whether to stop; the first two come with decoding."""

    question: int
    deed: str

    def __call__(self) -> bool:
        return {"stop": lambda: True, "die": die, "fail": fail, "hang": hang}[self.deed]()


@dataclass(frozen=True)
class Report:
    outcome: TrainingOutcome
    messages: tuple[str, ...]
    published: tuple[str, ...]


def die() -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def fail() -> bool:
    raise OSError(5, "the disk of one rank is broken")


def hang() -> bool:
    return threading.Event().wait()


def without_dropout() -> AbstractContextManager[Any]:
    """Let results be the same whatever numbers are drawn: every rank draws its own."""
    return patch.object(nn.Dropout, "forward", lambda _self, values: values)


def run_training(plan: TrainingPlan, wish: Wish | None = None, *, dropout: bool = True) -> Report:
    asked, messages, published = iter(range(10_000)), [], []

    def should_stop() -> bool:
        return wish is not None and next(asked) >= wish.question and wish()

    def publish_all(files: Sequence[tuple[Path, str]]) -> None:
        for staged, name in files:
            published.append(name)
            staged.replace(plan.output_dir / name)

    with nullcontext() if dropout else without_dropout():
        outcome = train(plan, report=lambda told: messages.append(told.message), should_stop=should_stop, publish_all=publish_all)
    return Report(outcome, tuple(messages), tuple(published))


def answer(connection: Connection, job: Callable[..., Any], args: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    try:
        connection.send(job(*args))
    except Exception as error:  # noqa: BLE001 - the test looks at it
        connection.send(error)
    # Like an actor, the process lives on until it is ended: that others notice the end of a rank does not take its death.
    connection.poll(None)


class Ranks:
    """Processes that each do a job; those still there when the test ends are ended."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        slow = ["actors.learning.vision", "actors.learning.training", "torchmetrics.functional.classification"]
        self._context.set_forkserver_preload(slow)
        self._processes: list[multiprocessing.process.BaseProcess] = []

    def start(self, job: Callable[..., Any], *args: Any) -> Connection:
        mine, theirs = self._context.Pipe()
        process = self._context.Process(target=answer, args=(theirs, job, args))
        process.start()
        theirs.close()
        self._processes.append(process)
        return mine

    def end(self) -> None:
        for process in self._processes:
            process.kill()
            process.join(DEADLINE_S)


def result(connection: Connection) -> Any:
    assert connection.poll(DEADLINE_S), "a rank neither ended nor failed"
    try:
        return connection.recv()
    except EOFError:
        return "gone"


@pytest.fixture
def ranks():
    started = Ranks()
    yield started
    started.end()


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    for name, (colour, count) in COLOURS.items():
        for tree, files in (("train", count), ("valid", 3)):
            (root / tree / name).mkdir(parents=True)
            for index in range(files):
                pixels = np.clip(random.normal(0, 60, (SIDE, SIDE, 3)) + colour, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(root / tree / name / f"{index}.png")
    return root


@pytest.fixture
def plan(trees: Path, tmp_path: Path) -> TrainingPlan:
    return make_plan(trees, tmp_path)


@pytest.fixture(scope="module")
def alone(trees: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """What one device does with batches of 8."""
    started, plan = Ranks(), make_plan(trees, tmp_path_factory.mktemp("alone"))
    (report,) = train_together(started, [replace(plan, batch_size=8)], dropout=False)
    started.end()
    return report


@pytest.fixture(scope="module")
def uninterrupted(trees: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingOutcome, Path]:
    started, plan = Ranks(), make_plan(trees, tmp_path_factory.mktemp("uninterrupted"))
    first, _ = train_together(started, together(plan))
    started.end()
    return first.outcome, plan.output_dir


def make_plan(trees: Path, folder: Path) -> TrainingPlan:
    for name in ("out", "staging"):
        (folder / name).mkdir()
    return TrainingPlan(
        model="mobilenet_v3_small",
        num_classes=3,
        train_path=trees / "train",
        val_path=trees / "valid",
        output_dir=folder / "out",
        staging_dir=folder / "staging",
        batch_size=4,
        num_epochs=2,
        learning_rate=1e-3,
        image_size=SIDE,
        seed=11,
        class_weights=True,
        rank_timeout_s=DEADLINE_S,
    )


def together(plan: TrainingPlan, world_size: int = 2, **changes: Any) -> list[TrainingPlan]:
    """Divide a plan among ranks that meet in a folder of theirs."""
    meeting = Path(tempfile.mkdtemp(dir=plan.staging_dir))
    plan = replace(plan, world_size=world_size, rendezvous=meeting / "file", **changes)
    return [replace(plan, rank=rank) for rank in range(world_size)]


def train_together(ranks: Ranks, plans: list[TrainingPlan], *wishes: Wish | None, dropout: bool = True) -> list[Report]:
    wishes = wishes or (None,) * len(plans)
    jobs = [train_with_dropout if dropout else train_without_dropout] * len(plans)
    answers = [ranks.start(*call) for call in zip(jobs, plans, wishes, strict=True)]
    reports = [result(connection) for connection in answers]
    assert all(isinstance(report, Report) for report in reports), reports
    return reports


def train_with_dropout(plan: TrainingPlan, wish: Wish | None) -> Report:
    return run_training(plan, wish)


def train_without_dropout(plan: TrainingPlan, wish: Wish | None) -> Report:
    return run_training(plan, wish, dropout=False)


def weights_in(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)


def assert_alike(histories: tuple[Any, ...], expected: tuple[Any, ...]) -> None:
    assert len(histories) == len(expected)
    for ours, theirs in zip(histories, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=TOLERANCE)


def test_two_ranks_learn_what_one_learns_from_batches_twice_as_large(ranks: Ranks, plan: TrainingPlan, alone: Report) -> None:
    first, second = train_together(ranks, together(plan), dropout=False)
    assert first.outcome.history == second.outcome.history
    assert_alike(first.outcome.history, alone.outcome.history)
    assert first.outcome.confusion == alone.outcome.confusion
    # One rank speaks and writes for both, and what it writes is what a single one does.
    assert (second.messages, second.published, second.outcome.files) == ((), (), ())
    assert "2 devices train together, on 4 pictures each at every step" in first.messages
    assert set(first.outcome.files) == set(alone.outcome.files)
    load_weights(build_model(plan.model, 3), plan.output_dir / "best_model.pth", expected_classes=3)
    assert weights_in(plan.output_dir / "best_model.pth").keys() == build_model(plan.model, 3).state_dict().keys()


def learn_some_steps(plan: TrainingPlan) -> dict[str, np.ndarray]:
    """Learn two batches in float64, where another order of the same sums does not show; the last batch has two pictures."""
    torch.manual_seed(3)
    pixels, labels = torch.randint(0, 256, (8, SIDE, SIDE, 3), dtype=torch.uint8), torch.tensor([0, 1, 2, 0, 0, 1, 2, 0])
    torch.set_default_dtype(torch.float64)
    with join(plan) as gang, without_dropout():
        learner = Learner(plan, (4, 2, 2), gang)
        for batch in BatchSource(PictureSet(pixels, labels, ""), plan.batch_size, CPU, gang=gang).batches(0):
            learner.learn(replace(batch, pictures=batch.pictures.double()))
        return {key: value.numpy() for key, value in learner.state()["model"].items()}


@pytest.mark.long
def test_a_rank_without_a_picture_takes_part_in_a_step_like_the_others(ranks: Ranks, plan: TrainingPlan) -> None:
    plan = replace(plan, batch_size=2)
    answers = [ranks.start(learn_some_steps, each) for each in [replace(plan, batch_size=6), *together(plan, 3)]]
    alone, *others = [result(connection) for connection in answers]
    for weights in others:
        assert weights.keys() == alone.keys()
        assert all(np.allclose(value, alone[key], rtol=1e-6, atol=1e-7) for key, value in weights.items())
        assert all(np.array_equal(value, others[0][key]) for key, value in weights.items())


def test_ranks_stop_at_the_same_batch_and_go_on_to_the_very_same_weights(
    ranks: Ranks, plan: TrainingPlan, uninterrupted: tuple[TrainingOutcome, Path]
) -> None:
    # An epoch has 3 batches of learning and 3 of measuring statistics: it is stopped within both, each time by one rank only.
    expected, folder = uninterrupted
    checkpoint = plan.output_dir / "last.ckpt"
    halves = train_together(ranks, together(plan), None, Wish(2 + 2, "stop"))
    assert [(half.outcome.status, half.outcome.epochs_done) for half in halves] == [("stopped", 0)] * 2
    assert read_resume_state(checkpoint).progress["position"] == 16
    train_together(ranks, together(plan, resume_from=checkpoint), Wish(2 + 1 + 1, "stop"), None)
    assert read_resume_state(checkpoint).progress["position"] == 21
    resumed, _ = train_together(ranks, together(plan, resume_from=checkpoint))
    assert resumed.outcome.history == expected.history
    ours, theirs = (weights_in(each / "last.ckpt")["model"] for each in (plan.output_dir, folder))
    assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@pytest.mark.parametrize("before", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_training_goes_on_with_another_number_of_ranks(before: int, ranks: Ranks, plan: TrainingPlan, alone: Report) -> None:
    plan = replace(plan, num_epochs=1)
    two, one = together(plan), [replace(plan, batch_size=8)]
    first, then = (one, two) if before == 1 else (two, one)
    train_together(ranks, first, *[Wish(2 + 2, "stop")] * before, dropout=False)
    then = [replace(each, resume_from=plan.output_dir / "last.ckpt") for each in then]
    resumed, *_ = train_together(ranks, then, dropout=False)
    assert any("after 0 epochs and 16 pictures" in message for message in resumed.messages)
    assert_alike(resumed.outcome.history, ({**alone.outcome.history[0], "total_epochs": 1},))


@pytest.mark.parametrize(
    ("deed", "patience_s"),
    [
        ("die", 2 * DEADLINE_S),
        pytest.param("fail", 2 * DEADLINE_S, marks=pytest.mark.long),
        pytest.param("hang", 2.0, marks=pytest.mark.long),
    ],
)
def test_a_rank_that_is_lost_ends_the_other_with_an_error(ranks: Ranks, plan: TrainingPlan, deed: str, patience_s: float) -> None:
    first, second = together(plan, rank_timeout_s=patience_s)
    left = ranks.start(train_with_dropout, first, None)
    ranks.start(train_with_dropout, second, Wish(4, deed))
    error = result(left)
    assert isinstance(error, RankLostError), error
    assert "rank 0 of 2 lost another rank" in error.message


@pytest.mark.long
def test_a_rank_that_never_comes_ends_the_other_with_an_error(ranks: Ranks, plan: TrainingPlan) -> None:
    first, _ = together(plan, rank_timeout_s=1.0)
    error = result(ranks.start(train_with_dropout, first, None))
    assert isinstance(error, RankLostError), error


def test_ranks_without_a_place_to_meet_are_refused(plan: TrainingPlan) -> None:
    with pytest.raises(ValueError, match="cannot meet"), join(replace(plan, rank=1, world_size=2)):
        pass


@given(count=st.integers(0, 40), world_size=st.integers(1, 6), begin=st.integers(0, 9))
def test_parts_make_up_the_whole_and_differ_by_one_picture_at_most(count: int, world_size: int, begin: int) -> None:
    parts = [Gang(rank, world_size).part(begin, begin + count) for rank in range(world_size)]
    assert [index for part in parts for index in range(part.start, part.stop)] == list(range(begin, begin + count))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


@given(count=st.integers(1, 50), batch_size=st.integers(1, 6), world_size=st.integers(2, 4))
def test_the_ranks_batches_are_those_of_one_device_with_all_their_pictures(count: int, batch_size: int, world_size: int) -> None:
    pixels = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1).expand(count, 1, 1, 3)
    pictures = PictureSet(pixels, torch.arange(count), "")
    alone = BatchSource(pictures, batch_size * world_size, CPU, seed=5, shuffle=True).batches(1)
    shared = [BatchSource(pictures, batch_size, CPU, 5, True, Gang(rank, world_size)).batches(1) for rank in range(world_size)]
    for whole, *parts in zip(alone, *shared, strict=True):
        assert torch.equal(torch.cat([part.labels for part in parts]), whole.labels)
        assert all(torch.equal(part.whole_labels, whole.labels) for part in parts)


def test_random_numbers_of_a_step_depend_on_the_rank_and_the_place_alone() -> None:
    def drawn(rank: int, epoch: int, position: int) -> float:
        Gang(rank, 2).seed_step(7, epoch, position)
        return torch.rand(()).item()

    places = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 8)]
    first = [drawn(*place) for place in places]
    assert len(set(first)) == len(places)
    assert [drawn(*place) for place in places] == first
