"""Files are whole or absent, checkpoints come back as they were, and a full disk loses nothing."""

import errno
import hashlib
import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import BinaryIO
from unittest.mock import patch

import pytest
import torch

from actors.files.errors import DiskFullError, OutputError
from actors.learning.background_writer import BackgroundWriter
from actors.learning.checkpoint import (
    ResumeState,
    read_resume_state,
    write_atomically,
    write_resume_state,
    write_tensors,
)
from actors.learning.errors import CheckpointError
from actors.learning.snapshots import StateCopy, in_default_order, snapshot


def content(data: bytes) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(data)

    return write


def make_state(**changes: object) -> ResumeState:
    values: dict[str, object] = {
        "identity": {"model": "resnet18", "class folders": ["a", "b"]},
        "model": {"w": torch.ones(2)},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
        "scaler": {},
        "progress": {"epoch": 3, "position": 16, "loss_sum": 1.5, "history": [{"val_acc": 50.0}]},
        "rng_cpu": torch.get_rng_state(),
        "rng_cuda": None,
        "seed": 7,
        "threads": 2,
        "batch_size": 8,
        "dataset": "ab12",
        "files": ["best_model.pth"],
    }
    return ResumeState(**{**values, **changes})


def test_a_written_file_has_its_content_and_ordinary_rights(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", content(b"new"))
    assert (tmp_path / "f").read_bytes() == b"new"
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_the_final_name_never_holds_a_part(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    seen = []

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        file.flush()
        seen.append(path.read_bytes())

    write_atomically(path, write)
    assert (seen, path.read_bytes()) == ([b"old"], b"half")


def test_a_failing_writer_leaves_the_previous_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "f", write)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("where", ["write", "fsync", "rename"])
def test_a_full_disk_leaves_the_previous_file_and_nothing_else(code: int, where: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")
    full = OSError(code, os.strerror(code))

    def write(file: BinaryIO) -> None:
        file.write(b"half")
        if where == "write":
            raise full

    broken = {"fsync": "os.fsync", "rename": "pathlib.Path.replace"}
    failing = patch(broken[where], side_effect=full) if where in broken else nullcontext()
    with failing, pytest.raises(DiskFullError, match="no room"):
        write_atomically(tmp_path / "f", write)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"old")]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_really_full_device_is_a_full_disk() -> None:
    def write(_: BinaryIO) -> None:
        with Path("/dev/full").open("wb", buffering=0) as device:
            device.write(b"x")

    with pytest.raises(DiskFullError):
        write_atomically(Path("/tmp/never-there"), write)
    assert not Path("/tmp/never-there").exists()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere") as caught:
        write_atomically(tmp_path / "nowhere" / "f", content(b"x"))
    assert caught.value.code == "output_not_writable"


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = make_state()
    write_resume_state(tmp_path / "last.ckpt", state)
    back = read_resume_state(tmp_path / "last.ckpt")
    assert torch.equal(back.rng_cpu, state.rng_cpu)
    assert torch.equal(back.model["w"], state.model["w"])
    same = {field.name for field in fields(state)} - {"rng_cpu", "model", "optimizer"}
    assert all(getattr(back, name) == getattr(state, name) for name in same)


def test_a_checkpoint_needs_no_trust_to_be_read(tmp_path: Path) -> None:
    write_resume_state(tmp_path / "last.ckpt", make_state())
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["seed"] == 7


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"not a checkpoint"])
def test_a_damaged_checkpoint_is_refused(damage: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(damage)
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        read_resume_state(tmp_path / "last.ckpt")


def test_a_checkpoint_with_changed_bytes_is_read_or_refused_whatever_they_are(tmp_path: Path) -> None:
    path, chance = tmp_path / "last.ckpt", random.Random(1)
    write_resume_state(path, make_state())
    sound, refused = path.read_bytes(), 0
    for _ in range(400):
        content = bytearray(sound)
        content[chance.randrange(2500)] = chance.randrange(256)  # the pickle and the headers before the tensors
        path.write_bytes(content)
        try:
            read_resume_state(path)
        except CheckpointError:
            refused += 1
    assert refused > 50


def test_a_missing_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        read_resume_state(tmp_path / "last.ckpt")


def test_a_checkpoint_of_another_format_version_is_refused(tmp_path: Path) -> None:
    write_resume_state(tmp_path / "last.ckpt", make_state(format_version=99))
    with pytest.raises(CheckpointError, match="format version 99"):
        read_resume_state(tmp_path / "last.ckpt")


def test_bare_weights_are_no_checkpoint(tmp_path: Path) -> None:
    write_tensors(tmp_path / "best_model.pth", {"w": torch.ones(2)})
    with pytest.raises(CheckpointError, match="format version None"):
        read_resume_state(tmp_path / "best_model.pth")


def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "last.ckpt", {"format_version": 1, "seed": 3})
    with pytest.raises(CheckpointError, match="lacks a part"):
        read_resume_state(tmp_path / "last.ckpt")


def test_a_snapshot_does_not_follow_later_changes() -> None:
    weight = torch.zeros(3, requires_grad=True)
    copy = snapshot({"a": [weight], "b": {"lr": 0.1}})
    with torch.no_grad():
        weight.add_(1)
    assert copy["a"][0].tolist() == [0, 0, 0]
    assert not copy["a"][0].requires_grad
    assert copy["b"] == {"lr": 0.1}


def test_a_copy_takes_the_memory_of_the_one_before_it_and_follows_every_change() -> None:
    weight, copy = torch.zeros(4, 3, 5, 5).to(memory_format=torch.channels_last), StateCopy()
    first = copy.take({"w": weight, "more": [weight[0], 1]})
    weight.add_(1)
    second = copy.take({"w": weight, "more": [weight[0], 2]})
    assert second["w"].data_ptr() == first["w"].data_ptr()
    assert torch.equal(second["w"], weight)
    assert torch.equal(second["more"][0], weight[0])
    assert second["more"][1] == 2
    assert copy.take({"w": torch.ones(2)})["w"].tolist() == [1, 1]
    assert copy.take({"w": torch.ones(2, dtype=torch.float64)})["w"].dtype == torch.float64


def test_reserved_memory_is_what_the_first_copy_is_made_in() -> None:
    copy, state = StateCopy(), {"w": torch.ones(3), "steps": torch.tensor(7), "lr": 0.1, "list": [torch.ones(1)]}
    copy.reserve(state)
    reserved = copy._memory["w"].data_ptr()
    taken = copy.take(state)
    assert taken["w"].data_ptr() == reserved
    assert taken == {"w": taken["w"], "steps": torch.tensor(7), "lr": 0.1, "list": [torch.ones(1)]}


def test_weights_are_given_out_in_the_order_that_other_formats_need() -> None:
    weights = {"w": torch.rand(4, 3, 5, 5).to(memory_format=torch.channels_last), "steps": torch.tensor(7)}
    ordered = in_default_order(weights)
    assert all(value.is_contiguous() for value in ordered.values())
    assert all(torch.equal(ordered[key], value) and ordered[key].shape == value.shape for key, value in weights.items())


def test_the_digest_of_what_is_written_is_that_of_the_file(tmp_path: Path) -> None:
    digest = write_resume_state(tmp_path / "last.ckpt", make_state(model={"w": torch.rand(300, 500)}))
    assert digest.sha256 == hashlib.sha256((tmp_path / "last.ckpt").read_bytes()).hexdigest()
    assert digest.size_bytes == (tmp_path / "last.ckpt").stat().st_size


def test_handing_over_does_not_wait_for_the_write() -> None:
    release, done = threading.Event(), threading.Event()
    with BackgroundWriter() as writer:
        writer.hand_over(lambda: (release.wait(10), done.set()))
        assert not done.is_set()
        release.set()
    assert done.is_set()


def test_one_write_is_in_flight_at_a_time_and_in_order() -> None:
    running, order = threading.Lock(), []

    def write(number: int) -> None:
        assert running.acquire(blocking=False)
        order.append(number)
        running.release()

    with BackgroundWriter() as writer:
        for number in range(5):
            writer.hand_over(lambda number=number: write(number))
    assert order == [0, 1, 2, 3, 4]


def _fail() -> None:
    raise DiskFullError("no room is left")


def test_a_failed_write_surfaces_at_the_next_one_which_is_not_done() -> None:
    written = []
    with BackgroundWriter() as writer:
        writer.hand_over(_fail)
        with pytest.raises(DiskFullError):
            writer.hand_over(lambda: written.append(1))
    assert written == []


def test_a_failed_last_write_surfaces_at_the_end() -> None:
    with pytest.raises(DiskFullError), BackgroundWriter() as writer:
        writer.hand_over(_fail)


def test_a_failed_write_does_not_hide_the_error_that_ended_the_training() -> None:
    def train() -> None:
        with BackgroundWriter() as writer:
            writer.hand_over(_fail)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()


@pytest.mark.parametrize("room", [1, 1_000, 100_000])
def test_a_disk_that_fills_while_tensors_are_written_is_named_as_such_wherever_it_happens(tmp_path, room):
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(OutputError, match=r"weights\.pth"):
            write_tensors(tmp_path / "weights.pth", {"weight": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        signal.signal(signal.SIGXFSZ, before)
    assert list(tmp_path.iterdir()) == []
