"""Measure what checkpoints cost a training: how long they hold its loop, and how much they slow it while they are written.

    python -m tests.benchmarks.bench_checkpoint [--model resnet18] [--image-size 224] [--batch-size 4] [--checkpoints 20] [--device cpu]

A real training on made-up pictures takes a checkpoint as often as it can, and writes it where its files go. The first checkpoint counts
too. What the processor works of it tells more where other programs keep the machine busy. A batch beside which something was written is
compared with those beside which nothing was.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from actors.learning import training
from actors.learning.learner import Learner
from actors.learning.outputs import Outputs
from actors.learning.plan import PREVIOUS_STATE, RESUME_STATE, TrainingPlan
from tests.benchmarks.bench_training import make_pictures

#: Batches between two checkpoints, so that the writer has been idle beside some of them.
EVERY = 6


class Watch:
    """Times the calls of interest of one training; ``done`` once enough checkpoints are written."""

    def __init__(self, checkpoints: int) -> None:
        self._wanted = checkpoints
        self._batches = 0
        self._is_writing = False
        self.stalls: list[float] = []
        self.works: list[float] = []
        self.writes: list[float] = []
        self.steps: dict[bool, list[float]] = {False: [], True: []}

    def done(self) -> bool:
        return len(self.writes) >= self._wanted

    def save(self, attempt: Any, original: Any) -> None:
        """Take a checkpoint at every so many batches, and time how long that holds the loop."""
        self._batches += 1
        if self._batches % EVERY and not self.done():
            return
        self._is_writing = True
        began, worked = time.perf_counter(), time.thread_time()
        original(attempt)
        self.stalls.append(time.perf_counter() - began)
        self.works.append(time.thread_time() - worked)

    def write(self, outputs: Outputs, original: Any, state: Any) -> None:
        """Time a write, which goes on in the thread that writes."""
        began = time.perf_counter()
        original(outputs, state)
        self.writes.append(time.perf_counter() - began)
        self._is_writing = False

    def learn(self, learner: Learner, original: Any, batch: Any) -> Any:
        """Time one step, by whether something was written beside the whole of it."""
        before, began = self._is_writing, time.perf_counter()
        answer = original(learner, batch)
        if learner.device.type == "cuda":
            torch.cuda.synchronize()
        if self._is_writing == before:
            self.steps[before].append(time.perf_counter() - began)
        return answer


def measure(plan: TrainingPlan, checkpoints: int) -> Watch:
    watch = Watch(checkpoints)
    save, write, learn = training._Attempt._save_state, Outputs.write_resume_state, Learner.learn
    with (
        patch.object(training._Attempt, "_save_state", lambda self: watch.save(self, save)),
        patch.object(Outputs, "write_resume_state", lambda self, state: watch.write(self, write, state)),
        patch.object(Learner, "learn", lambda self, batch: watch.learn(self, learn, batch)),
    ):
        training.train(plan, report=lambda _: None, should_stop=watch.done, checkpoint_every_s=1e-9)
    return watch


def print_table(watch: Watch, plan: TrainingPlan) -> None:
    size = sum((plan.output_dir / name).stat().st_size for name in (RESUME_STATE, PREVIOUS_STATE)) / 2
    print(f"{plan.model} at {plan.image_size} pixels on {plan.device}, {plan.threads} threads, {size / 1e6:.0f} MB a checkpoint")
    print(f"{'milliseconds':44} {'median':>8} {'worst':>8} {'number':>7}")
    rows = {
        "the loop is held by a checkpoint": watch.stalls,
        "of which the processor works": watch.works,
        "a checkpoint is written and on the disk in": watch.writes,
        "a batch while nothing is written": watch.steps[False][1:],
        "a batch beside the writing": watch.steps[True],
    }
    for name, seconds in rows.items():
        if seconds:
            print(f"{name:44} {1000 * statistics.median(seconds):8.1f} {1000 * max(seconds):8.1f} {len(seconds):7}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--checkpoints", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data = make_pictures(Path(name) / "pictures", classes=4, train=1000 // 4, valid=2)
        output = Path(name) / "out"
        output.mkdir()
        plan = TrainingPlan(
            model=options.model,
            num_classes=4,
            train_path=data / "train",
            val_path=data / "valid",
            output_dir=output,
            staging_dir=output / ".attempt-1",
            batch_size=options.batch_size,
            image_size=options.image_size,
            device=options.device,
            threads=options.threads,
        )
        print_table(measure(plan, options.checkpoints), plan)


if __name__ == "__main__":
    main()
