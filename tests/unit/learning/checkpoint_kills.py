"""Ends writers of checkpoints in the middle of it, and looks at what each leaves.

    python -m tests.unit.learning.checkpoint_kills FOLDER random --kills 20 --seed 1 [--model mobilenet_v3_small]
    python -m tests.unit.learning.checkpoint_kills FOLDER steps

A loaded parent forks one writer after the other, each a new attempt in the output folder, which goes on from what it finds there.
``random`` kills at moments spread over the time that a checkpoint takes. ``steps`` lets each writer kill itself just before or just
after one more change of the file system, until one comes to its end: what is between two renames takes microseconds, and chance would
hardly ever find it. Prints one JSON object; the process has a single thread, so that a fork of it is sound.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from actors.fence import FencedFolder
from actors.learning.checkpoint import ResumeState
from actors.learning.checkpoint_history import read_newest_state
from actors.learning.checkpoint_list import find_checkpoint
from actors.learning.outputs import Outputs
from actors.learning.plan import RESUME_STATE, TrainingPlan
from actors.learning.zoo import build_model

TASK = "t-1"
#: More steps than one checkpoint takes would mean that it never comes to its end.
MOST_STEPS = 100


class Loaded:
    """A network with its optimiser's memory, whose states are told apart by their number."""

    def __init__(self, network: nn.Module) -> None:
        self.model = network.state_dict()
        moments = [torch.rand_like(each) for each in network.parameters()]
        self.optimizer = {"state": {index: {"exp_avg": each, "exp_avg_sq": each} for index, each in enumerate(moments)}}

    def state(self, number: int) -> ResumeState:
        return ResumeState(
            identity={},
            model=self.model,
            optimizer=self.optimizer,
            scaler={},
            progress={"epoch": number, "position": 0},
            rng_cpu=torch.get_rng_state(),
            rng_cuda=None,
            seed=0,
            threads=1,
            batch_size=8,
            dataset="",
        )


class Writers:
    """Attempts of one task, one after the other, in one output folder."""

    def __init__(self, folder: Path, loaded: Loaded, token: int = 0, task: str = TASK) -> None:
        self._folder = folder
        self._loaded = loaded
        self._token = token
        self._task = task

    def fork(self, count: int, prepare: Callable[[], Any] = lambda: None) -> tuple[int, int]:
        """Start a writer of ``count`` checkpoints; returns its process and a pipe that takes the number of each one done, a byte each."""
        self._token += 1
        reading, writing = os.pipe()
        process = os.fork()
        if process:
            os.close(writing)
            return process, reading
        code = 1
        try:
            self._write(count, writing, prepare)
            code = 0
        finally:
            if code:
                traceback.print_exc()
            os._exit(code)

    def _write(self, count: int, pipe: int, prepare: Callable[[], Any]) -> None:
        fenced = FencedFolder(self._folder, self._token)
        plan = TrainingPlan(
            model="resnet18",
            num_classes=37,
            train_path=self._folder,
            val_path=self._folder,
            output_dir=self._folder,
            staging_dir=fenced.staging,
            task_id=self._task,
        )
        outputs, begun = Outputs(plan, fenced.publish_all), 0
        path = find_checkpoint(self._folder, self._task)
        if path is not None:
            found = read_newest_state(path)
            outputs.adopt(found)
            begun = found.entry.epoch
        os.write(pipe, b"r")
        prepare()
        for number in range(begun + 1, begun + 1 + count):
            outputs.write_resume_state(self._loaded.state(number))
            os.write(pipe, b"d")


def look(folder: Path, before: int, done: int) -> tuple[int, str, str]:
    """Load what a writer left; fails where that is older than the last one it had done, which is the last but one of those begun."""
    path = find_checkpoint(folder, TASK)
    if path is None:
        assert before + done == 0, f"nothing is left of {before + done} checkpoints"
        return 0, "nothing", ""
    found = read_newest_state(path)
    assert before + done <= found.entry.epoch <= before + done + 1, (found.entry.epoch, before, done)
    return found.entry.epoch, found.path.name, "; ".join(found.warnings)


def kill_at_random(folder: Path, loaded: Loaded, kills: int, chance: random.Random) -> dict[str, Any]:
    """Kill writers at moments spread over the time that two checkpoints take."""
    writers, outcomes, killed_within = Writers(folder, loaded), Counter[str](), 0
    write_s = measure(writers)
    left = look(folder, 0, 3)[0]
    for _ in range(kills):
        process, pipe = writers.fork(1_000)
        assert os.read(pipe, 1) == b"r"
        time.sleep(chance.uniform(0, 2 * write_s))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        done = len(read_all(pipe))
        staging = next(folder.glob(".attempt-*"), None)
        killed_within += staging is not None and any(staging.iterdir())
        left, name, _ = look(folder, left, done)
        outcomes[name] += 1
    return {"kills": kills, "within_a_write": killed_within, "write_ms": round(1000 * write_s), "checkpoints": left, **outcomes}


def measure(writers: Writers) -> float:
    """Give the seconds that a checkpoint takes."""
    process, pipe = writers.fork(3)
    assert os.read(pipe, 1) == b"r"
    began = time.perf_counter()
    os.waitpid(process, 0)
    read_all(pipe)
    return (time.perf_counter() - began) / 3


def kill_at_every_step(folder: Path, loaded: Loaded) -> dict[str, Any]:
    """Kill writers at every step of a checkpoint, in folders with and without earlier ones, damaged ones and another task's."""
    told = {}
    for earlier in range(3):
        told[f"{earlier}"] = kill_in_copies_of(prepared(folder / f"{earlier}", loaded, earlier), loaded, earlier)
    begin = prepared(folder / "damaged", loaded, 2)
    with (begin / RESUME_STATE).open("r+b") as file:
        file.write(b"damage")
    told["damaged"] = kill_in_copies_of(begin, loaded, 1)
    told["foreign"] = kill_in_copies_of(prepared(folder / "foreign", loaded, 2, task="t-0"), loaded, 0)
    return told


def prepared(folder: Path, loaded: Loaded, count: int, task: str = TASK) -> Path:
    """Let a task write checkpoints undisturbed; returns the folder."""
    process, pipe = Writers(folder, loaded, task=task).fork(count)
    assert os.waitpid(process, 0)[1] == 0
    assert read_all(pipe).count(b"d") == count
    return folder


def kill_in_copies_of(begin: Path, loaded: Loaded, before: int) -> dict[str, int]:
    """Kill a writer at one step more each time, always in the same situation."""
    outcomes = Counter[str]()
    for step in range(MOST_STEPS):
        folder = begin.with_name(f"{begin.name}-{step}")
        shutil.copytree(begin, folder)
        process, pipe = Writers(folder, loaded, token=1).fork(1, prepare=lambda step=step: die_at(step))
        _, status = os.waitpid(process, 0)
        done = read_all(pipe).count(b"d")
        outcomes[look(folder, before, done)[1]] += 1
        if os.WIFEXITED(status):
            assert (os.WEXITSTATUS(status), done) == (0, 1)
            return {"steps": step, **outcomes}
    raise AssertionError(f"a checkpoint took more than {MOST_STEPS} steps")


def die_at(step: int) -> None:
    """End this process at the step-th moment beside a change of the file system: an odd one is after, an even one before it."""
    moments = iter(range(1_000_000))

    def deadly(change: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **settings: Any) -> Any:
            die_if(next(moments) == step)
            result = change(*args, **settings)
            die_if(next(moments) == step)
            return result

        return call

    for name in ("os.fsync", "os.open", "os.link", "pathlib.Path.replace", "pathlib.Path.unlink"):
        owner, _, attribute = name.rpartition(".")
        change = getattr(Path, attribute) if owner != "os" else getattr(os, attribute)
        patch(name, deadly(change)).start()


def die_if(is_time: bool) -> None:
    if is_time:
        os.kill(os.getpid(), signal.SIGKILL)


def read_all(pipe: int) -> bytes:
    """Read what an ended writer told, and close its pipe."""
    with os.fdopen(pipe, "rb") as file:
        return file.read()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("how", choices=["random", "steps"])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="mobilenet_v3_small")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.how == "random":
        loaded = Loaded(build_model(options.model, 37))
        told = kill_at_random(options.folder, loaded, options.kills, random.Random(options.seed))
    else:
        told = kill_at_every_step(options.folder, Loaded(nn.Linear(8, 8)))
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
