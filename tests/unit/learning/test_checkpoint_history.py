"""Of two checkpoints the newest good one is read, and no damage makes one of something else be read instead."""

import errno
import json
import os
import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch

from actors.files.data_roots import DataRoots, OutsideRootsError
from actors.learning.checkpoint import read_resume_state
from actors.learning.checkpoint_history import read_newest_state
from actors.learning.checkpoint_list import find_checkpoint, read_checkpoint_list
from actors.learning.errors import CheckpointError, CheckpointUnavailableError
from actors.learning.outputs import Outputs
from actors.learning.plan import TrainingPlan
from tests.unit.learning.test_checkpoint import make_state


def outputs_in(folder: Path, task_id: str = "t-1") -> Outputs:
    folder.mkdir(exist_ok=True)
    plan = TrainingPlan(
        model="resnet18",
        num_classes=2,
        train_path=folder,
        val_path=folder,
        output_dir=folder,
        staging_dir=folder / ".attempt-1",
        task_id=task_id,
    )
    return Outputs(plan, None)


def write(outputs: Outputs, *epochs: int) -> None:
    for epoch in epochs:
        outputs.write_resume_state(make_state(progress={"epoch": epoch, "position": 5}, model={"w": torch.rand(400)}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(outputs_in(tmp_path / "out"), 1, 2, 3)
    return tmp_path / "out"


def resumed(folder: Path) -> Outputs:
    """Begin another attempt, which goes on from what is there."""
    outputs = outputs_in(folder)
    outputs.adopt(read_newest_state(folder / "last.ckpt"))
    return outputs


def spoil(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def test_the_two_newest_are_kept_and_listed(folder: Path) -> None:
    content = json.loads((folder / "checkpoints.json").read_text())
    assert (content["format_version"], content["task_id"]) == (1, "t-1")
    newest, before = content["checkpoints"]
    assert (newest["epoch"], before["epoch"], newest["position"]) == (3, 2, 5)
    assert newest["bytes"] == (folder / "last.ckpt").stat().st_size
    assert set(newest) == {"sha256", "bytes", "epoch", "position", "written_at"}
    assert [read_resume_state(folder / name).progress["epoch"] for name in ("last.ckpt", "previous.ckpt")] == [3, 2]
    assert {path.name for path in folder.iterdir()} == {"last.ckpt", "previous.ckpt", "checkpoints.json", ".attempt-1"}


def test_a_file_system_without_second_names_keeps_two_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    write(outputs_in(tmp_path / "out"), 1, 2, 3)
    found = [read_resume_state(tmp_path / "out" / name).progress["epoch"] for name in ("last.ckpt", "previous.ckpt")]
    assert found == [3, 2]


def test_an_attempt_that_ended_with_one_file_under_both_names_is_gone_on_from(folder: Path) -> None:
    # As a crash leaves it just before the new one becomes the last.
    (folder / "previous.ckpt").unlink()
    (folder / "previous.ckpt").hardlink_to(folder / "last.ckpt")
    outputs = resumed(folder)
    for epoch in (4, 5):
        write(outputs, epoch)
        found = [read_resume_state(folder / name).progress["epoch"] for name in ("last.ckpt", "previous.ckpt")]
        assert found == [epoch, epoch - 1]


def test_the_newest_is_read_without_a_word(folder: Path) -> None:
    found = read_newest_state(folder / "last.ckpt")
    assert (found.state.progress["epoch"], found.path.name, found.warnings) == (3, "last.ckpt", ())


@pytest.mark.parametrize("seed", range(20))
def test_wherever_the_newest_is_torn_or_changed_the_one_before_is_read(seed: int, folder: Path) -> None:
    chance, last = random.Random(seed), folder / "last.ckpt"
    content = bytearray(last.read_bytes())
    at = chance.randrange(len(content))
    if seed % 2:
        content[at] ^= 1 << chance.randrange(8)
    else:
        del content[at:]
    last.write_bytes(content)
    found = read_newest_state(last)
    assert (found.state.progress["epoch"], found.path.name) == (2, "previous.ckpt")
    (warning,) = found.warnings
    assert "does not hold what was written there" in warning
    assert "which holds epoch 3 after 5 pictures" in warning


def digest_fails(code: int) -> Any:
    return patch("hashlib.file_digest", side_effect=OSError(code, os.strerror(code)))


def load_fails(error: Exception) -> Any:
    return patch("torch.load", side_effect=error)


@pytest.mark.parametrize(
    "failing",
    [
        digest_fails(errno.EIO),
        digest_fails(errno.ESTALE),
        patch("os.open", side_effect=OSError(errno.EMFILE, os.strerror(errno.EMFILE))),
        load_fails(OSError(errno.EIO, os.strerror(errno.EIO))),
        load_fails(RuntimeError("DefaultCPUAllocator: can't allocate memory")),
        load_fails(MemoryError()),
    ],
)
def test_a_machine_that_cannot_read_at_present_is_no_damage_and_nothing_older_is_read_instead(failing: Any, folder: Path) -> None:
    with failing, pytest.raises(CheckpointUnavailableError, match=r"last\.ckpt cannot be read at present"):
        read_newest_state(folder / "last.ckpt")
    assert read_newest_state(folder / "last.ckpt").state.progress["epoch"] == 3


def test_what_is_no_regular_file_is_damage(folder: Path) -> None:
    (folder / "last.ckpt").unlink()
    (folder / "last.ckpt").mkdir()
    assert read_newest_state(folder / "last.ckpt").state.progress["epoch"] == 2


def test_a_missing_newest_is_told_too(folder: Path) -> None:
    (folder / "last.ckpt").unlink()
    assert find_checkpoint(folder) == folder / "previous.ckpt"
    found = read_newest_state(folder / "previous.ckpt")
    assert (found.path.name, len(found.warnings)) == ("previous.ckpt", 1)
    assert "there is no checkpoint at" in found.warnings[0]


def test_where_neither_is_good_both_are_named(folder: Path) -> None:
    spoil(folder / "last.ckpt")
    spoil(folder / "previous.ckpt")
    with pytest.raises(CheckpointError, match=r"neither .*last\.ckpt does not .*previous\.ckpt does not"):
        read_newest_state(folder / "last.ckpt")


def test_the_next_checkpoint_does_not_put_a_damaged_one_in_the_place_of_a_good_one(folder: Path) -> None:
    spoil(folder / "last.ckpt")
    outputs = resumed(folder)
    write(outputs, 3)
    assert [read_resume_state(folder / name).progress["epoch"] for name in ("last.ckpt", "previous.ckpt")] == [3, 2]
    write(outputs, 4)
    assert read_newest_state(folder / "last.ckpt").state.progress["epoch"] == 4
    spoil(folder / "last.ckpt")
    assert read_newest_state(folder / "last.ckpt").state.progress["epoch"] == 3


def test_a_checkpoint_without_a_list_is_read_as_it_is_and_listed_from_then_on(folder: Path) -> None:
    for name in ("checkpoints.json", "previous.ckpt"):
        (folder / name).unlink()
    found = read_newest_state(folder / "last.ckpt")
    assert (found.state.progress["epoch"], found.warnings) == (3, ())
    write(resumed(folder), 4)
    listed = read_checkpoint_list(folder)
    assert listed is not None
    assert [entry.epoch for entry in listed.checkpoints] == [4, 3]
    assert listed.checkpoints[1].sha256 == found.entry.sha256


def test_a_copy_under_another_name_is_read_as_it_is(folder: Path) -> None:
    (folder / "last.ckpt").rename(folder / "mine.ckpt")
    assert read_newest_state(folder / "mine.ckpt").state.progress["epoch"] == 3


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format_version": 2}', '{"format_version": 1, "task_id": "t", "checkpoints": [{}]}']
)
def test_a_list_that_cannot_be_read_is_told_and_done_without(content: str, folder: Path) -> None:
    (folder / "checkpoints.json").write_text(content)
    found = read_newest_state(folder / "last.ckpt")
    assert found.state.progress["epoch"] == 3
    (warning,) = found.warnings
    assert "checkpoints.json is no readable list" in warning
    assert find_checkpoint(folder, "t-1") == folder / "last.ckpt"


def test_another_tasks_checkpoints_in_the_same_folder_are_neither_found_nor_kept(folder: Path) -> None:
    assert find_checkpoint(folder, "t-1") == folder / "last.ckpt"
    assert find_checkpoint(folder, "t-2") is None
    outputs = outputs_in(folder, "t-2")
    write(outputs, 1)
    assert find_checkpoint(folder, "t-2") == folder / "last.ckpt"
    spoil(folder / "last.ckpt")
    with pytest.raises(CheckpointError, match="neither"):
        read_newest_state(folder / "last.ckpt")


def test_an_earlier_training_is_gone_on_from_its_last_but_one_where_another_has_just_begun_to_write(folder: Path) -> None:
    # Its list holds until the other one's first checkpoint is in place and can be listed.
    (folder / "last.ckpt").write_bytes(b"another training's")
    assert read_newest_state(folder / "last.ckpt").state.progress["epoch"] == 2


def test_a_checkpoint_that_its_user_removed_meanwhile_is_not_missed(tmp_path: Path) -> None:
    outputs = outputs_in(tmp_path / "out")
    write(outputs, 1, 2)
    (tmp_path / "out/last.ckpt").unlink()
    write(outputs, 3)
    assert read_newest_state(tmp_path / "out/last.ckpt").state.progress["epoch"] == 3


def test_a_link_out_of_the_data_roots_is_refused_and_not_passed_over(folder: Path, tmp_path: Path) -> None:
    (folder / "last.ckpt").rename(tmp_path / "elsewhere.ckpt")
    (folder / "last.ckpt").symlink_to(tmp_path / "elsewhere.ckpt")
    with pytest.raises(OutsideRootsError):
        read_newest_state(folder / "last.ckpt", roots=DataRoots.of([folder]))
