"""A training that is stopped or killed goes on exactly where it was, from the newest good checkpoint."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from actors.files.errors import OutputError
from actors.learning import training
from actors.learning.background_writer import BackgroundWriter
from actors.learning.checkpoint import read_resume_state
from actors.learning.errors import CheckpointError
from actors.learning.history_files import read_metrics
from actors.learning.training import TrainingOutcome, TrainingPlan
from actors.learning.zoo import build_model
from tests.unit.learning.training_runs import (
    after,
    assert_same_weights,
    elsewhere,
    noting_positions,
    run,
)


@pytest.mark.parametrize("batches", [0, 3, 6, 9, 15])
def test_a_stopped_training_goes_on_to_the_very_same_weights(
    batches: int, plan: TrainingPlan, uninterrupted: tuple[TrainingOutcome, Path]
) -> None:
    # An epoch has 4 batches of learning, 4 of measuring statistics and 2 of validation: it is stopped within all three.
    expected, folder = uninterrupted
    outcome, _ = run(plan, after(batches))
    assert outcome.status == "stopped"
    resumed, records = run(replace(plan, resume_from=plan.output_dir / "last.ckpt", seed=99, threads=2))
    assert resumed.history == expected.history
    assert resumed.confusion == expected.confusion
    for name in ("best_model.pth", "MobileNetV3_epoch_2.pth"):
        assert_same_weights(plan.output_dir / name, folder / name)
    assert set(resumed.files) == set(expected.files)
    assert records[-1].progress == 100


def test_a_stop_is_told_and_saved_before_the_next_batch(plan: TrainingPlan) -> None:
    outcome, records = run(plan, after(3))
    assert (outcome.status, outcome.epochs_done) == ("stopped", 0)
    assert read_resume_state(plan.output_dir / "last.ckpt").progress["position"] == 15
    assert "after 15 pictures" in records[-1].message
    assert "Stopped" in (plan.output_dir / "train.log").read_text()


def test_a_stop_while_decoding_ends_at_once(plan: TrainingPlan) -> None:
    outcome, _ = run(plan, lambda: True)
    assert outcome == TrainingOutcome("stopped", 0)
    assert list(plan.output_dir.iterdir()) == []


def test_a_resumed_log_keeps_what_was_said_before(plan: TrainingPlan) -> None:
    run(plan, after(2))
    run(replace(plan, resume_from=plan.output_dir / "last.ckpt"))
    log = (plan.output_dir / "train.log").read_text()
    assert log.index("Stopped") < log.index("Resuming after 0 epochs and 10 pictures") < log.index("Epoch 2/2 ended")


def test_a_training_can_be_extended_in_another_folder(plan: TrainingPlan) -> None:
    first, _ = run(plan)
    more = replace(elsewhere(plan, "more"), num_epochs=3, resume_from=plan.output_dir / "last.ckpt")
    outcome, _ = run(more)
    assert [metrics["epoch"] for metrics in outcome.history] == [1, 2, 3]
    assert outcome.history[:2] == first.history
    assert (more.output_dir / "best_model.pth").is_file()
    assert not (more.output_dir / "MobileNetV3_epoch_1.pth").exists()


def test_a_resume_may_change_the_batch_size(plan: TrainingPlan) -> None:
    run(plan, after(3))
    resumed, _ = run(replace(plan, batch_size=2, resume_from=plan.output_dir / "last.ckpt"))
    assert (resumed.status, len(resumed.history)) == ("completed", 2)


def test_a_resume_does_not_need_the_weights_that_the_training_began_with(plan: TrainingPlan, tmp_path: Path) -> None:
    torch.save(build_model(plan.model, 3).state_dict(), tmp_path / "start.pth")
    plan = replace(plan, num_epochs=1, weight_path=str(tmp_path / "start.pth"))
    run(plan, after(2))
    (tmp_path / "start.pth").unlink()
    assert run(replace(plan, resume_from=plan.output_dir / "last.ckpt"))[0].status == "completed"


def test_a_resume_with_another_model_is_refused(plan: TrainingPlan) -> None:
    run(plan, after(1))
    with pytest.raises(CheckpointError, match="another num_classes"):
        run(replace(plan, num_classes=4, resume_from=plan.output_dir / "last.ckpt"))


def test_a_checkpoint_knows_the_files_that_were_written_before_it(plan: TrainingPlan) -> None:
    run(replace(plan, num_epochs=1))
    files = set(read_resume_state(plan.output_dir / "last.ckpt").files)
    assert files == {"config.yaml", "best_model.pth", "model_card.json", "MobileNetV3_epoch_1.pth", "last.ckpt", "checkpoints.json"}


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_training_killed_right_after_its_last_checkpoint_ends_with_the_figures_of_all_epochs(
    epochs: int, plan: TrainingPlan
) -> None:
    plan, saved = replace(plan, num_epochs=epochs), []

    def publish_all(files: Sequence[tuple[Path, str]]) -> None:
        if len(saved) == epochs:
            raise InterruptedError("killed")
        for staged, name in files:
            staged.replace(plan.output_dir / name)
        saved.extend(name for _, name in files if name == "last.ckpt")

    with pytest.raises(OutputError, match="killed"):
        run(plan, publish_all=publish_all)
    outcome, _ = run(replace(plan, resume_from=plan.output_dir / "last.ckpt"))
    assert outcome.status == "completed"
    assert {"metrics.csv", "confusion_matrix.json", "confusion_matrix.png"} <= set(outcome.files)
    assert read_metrics(plan.output_dir / "metrics.csv")["epoch"] == list(range(1, epochs + 1))
    assert json.loads((plan.output_dir / "confusion_matrix.json").read_text())["epoch"] == epochs


def test_checkpoints_are_written_within_an_epoch_too(plan: TrainingPlan) -> None:
    positions, publish_all = noting_positions(plan)
    with patch.object(BackgroundWriter, "is_idle", new=property(lambda self: self.wait() is None)):
        run(replace(plan, num_epochs=1), publish_all=publish_all, checkpoint_every_s=1e-9)
    assert positions == [5, 10, 15, 21, 0]


def test_a_checkpoint_within_an_epoch_is_left_out_while_the_disk_has_not_taken_the_one_before(plan: TrainingPlan) -> None:
    positions, publish_all = noting_positions(plan)
    learnt = threading.Event()

    def publish_late(files: Sequence[tuple[Path, str]]) -> None:
        if files[-1][1] in {"last.ckpt", "checkpoints.json"}:
            assert learnt.wait(60)
        publish_all(files)

    with patch.object(training._Attempt, "_validate", side_effect=lambda _: learnt.set()):
        outcome, _ = run(plan, publish_all=publish_late, checkpoint_every_s=1e-9)
    # The first one waits for the end of the epoch, and what then stops the training saves once more.
    assert outcome.status == "stopped"
    assert len(positions) == 2
    assert positions[0] < 21
    assert positions[1] == 21


def damage(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"damage")


@pytest.mark.parametrize("batches", [6, 15])
def test_a_training_whose_last_checkpoint_is_damaged_goes_on_from_the_one_before_to_the_very_same_weights(
    batches: int, plan: TrainingPlan, uninterrupted: tuple[TrainingOutcome, Path]
) -> None:
    # Stopped within its second epoch after one or more batches, so the last but one is that of an earlier batch or epoch.
    expected, folder = uninterrupted
    with patch.object(BackgroundWriter, "is_idle", new=property(lambda self: self.wait() is None)):
        run(plan, after(batches), checkpoint_every_s=1e-9)
    before = read_resume_state(plan.output_dir / "previous.ckpt").progress
    damage(plan.output_dir / "last.ckpt")
    resumed, records = run(replace(plan, resume_from=plan.output_dir / "last.ckpt", seed=99, threads=2))
    assert resumed.history == expected.history
    assert_same_weights(plan.output_dir / "MobileNetV3_epoch_2.pth", folder / "MobileNetV3_epoch_2.pth")
    (warning,) = [record.message for record in records if record.level == "WARNING"]
    assert "last.ckpt does not hold what was written there; going on from previous.ckpt instead" in warning
    assert f"epoch {before['epoch'] + 1} after {before['position']} pictures" in warning
    assert warning in (plan.output_dir / "train.log").read_text()


def test_a_training_whose_only_checkpoint_is_damaged_says_so(plan: TrainingPlan) -> None:
    run(plan, after(3))
    damage(plan.output_dir / "last.ckpt")
    with pytest.raises(CheckpointError, match="does not hold what was written"):
        run(replace(plan, resume_from=plan.output_dir / "last.ckpt"))
