"""A training learns, tells what it does, leaves whole files, and goes on exactly where it was stopped."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from actors.files.errors import DatasetError, DiskFullError
from actors.learning import data, learner
from actors.learning.errors import (
    ConfigError,
    GpuOutOfMemoryError,
    TrainingDivergedError,
    UnreadablePictureError,
    WeightsMismatchError,
)
from actors.learning.model_card import read_model_card, sha256_of
from actors.learning.training import Stage, TrainingOutcome, TrainingPlan
from actors.learning.zoo import build_model, load_weights
from tests.unit.learning.training_runs import (
    COLOURS,
    SIDE,
    assert_same_weights,
    run,
    weights_in,
)


def test_a_training_learns_colours_and_writes_every_file_of_the_contract(plan: TrainingPlan) -> None:
    plan = replace(plan, num_epochs=6)
    outcome, records = run(plan)
    assert (outcome.status, outcome.epochs_done, outcome.best_acc) == ("completed", 6, 100.0)
    epochs = {f"MobileNetV3_epoch_{number}.pth" for number in range(1, 7)}
    others = {"best_model.pth", "last.ckpt", "config.yaml", "metrics.csv", "confusion_matrix.png", "train.log"}
    others |= {"confusion_matrix.json", "previous.ckpt", "checkpoints.json"}
    assert {path.name for path in plan.output_dir.iterdir()} == epochs | others | {"model_card.json"}
    assert set(outcome.files) == epochs | others | {"model_card.json"}
    assert list(plan.staging_dir.iterdir()) == []
    assert sum(map(sum, outcome.confusion)) == 9
    assert records[-1].stage is Stage.COMPLETED
    with Image.open(plan.output_dir / "confusion_matrix.png") as picture:
        picture.load()


def test_records_tell_the_stages_of_each_epoch_in_order(plan: TrainingPlan) -> None:
    outcome, records = run(plan)
    stages = [record.stage for record in records if record.stage not in {None, Stage.TRAINING}]
    assert stages == [Stage.EPOCH_START, Stage.VALIDATION, Stage.EPOCH_END] * 2 + [Stage.COMPLETED]
    progress = [record.progress for record in records]
    assert progress == sorted(progress)
    assert [record.progress for record in records if record.stage is Stage.EPOCH_END] == [50, 99]
    assert (progress[0], progress[-1]) == (0, 100)
    ends = [record for record in records if record.stage is Stage.EPOCH_END]
    assert [record.metrics for record in ends] == list(outcome.history)
    assert [(record.epoch, record.total_epochs) for record in ends] == [(1, 2), (2, 2)]


def test_batches_are_told_at_most_once_a_second(plan: TrainingPlan) -> None:
    clock = iter(range(10_000))
    with patch("actors.learning.journal.monotonic", lambda: next(clock) * 0.3):
        _, records = run(plan)
    told = [record for record in records if record.stage is Stage.TRAINING]
    assert told[0].step == 1
    assert 1 < len(told) < 8
    assert all(record.step and record.metrics and record.metrics["train_loss"] > 0 for record in told)


def test_the_best_weights_are_those_of_the_best_epoch_and_the_card_describes_them(plan: TrainingPlan) -> None:
    plan = replace(plan, num_epochs=4)
    outcome, _ = run(plan)
    card = read_model_card(plan.output_dir / "model_card.json")
    accuracies = [metrics["val_acc"] for metrics in outcome.history]
    best = accuracies.index(max(accuracies)) + 1
    assert card.metrics == outcome.history[best - 1]
    assert_same_weights(plan.output_dir / "best_model.pth", plan.output_dir / f"MobileNetV3_epoch_{best}.pth")
    assert card.weights_sha256 == sha256_of(plan.output_dir / "best_model.pth")
    assert (card.classes, card.architecture, card.seed) == (["blue", "green", "red"], "mobilenet_v3_small", 11)
    assert (card.split, card.task_id, card.project_version) == ({"train": 21, "valid": 9}, "t-1", "3.0.0")


def test_the_best_weights_predict_what_the_last_validation_found(plan: TrainingPlan) -> None:
    outcome, _ = run(replace(plan, num_epochs=1))
    model = build_model("mobilenet_v3_small", 3)
    load_weights(model, plan.output_dir / "best_model.pth", expected_classes=3)
    right = 0
    with torch.inference_mode():
        for path in sorted(plan.val_path.rglob("*.png")):
            pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
            scores = model.eval()(torch.from_numpy(pixels).permute(2, 0, 1)[None])
            right += sorted(COLOURS)[int(scores.argmax())] == path.parent.name
    assert outcome.metrics["val_acc"] == pytest.approx(100 * right / 9)


def test_the_configuration_maps_names_to_indexes_and_can_be_used_for_inference(plan: TrainingPlan) -> None:
    from actors.learning.classify_config import load_classify_config

    run(replace(plan, num_classes=5, num_epochs=1))
    content = yaml.safe_load((plan.output_dir / "config.yaml").read_text())
    expected = {"blue": 0, "green": 1, "red": 2, "unnamed_3": 3, "unnamed_4": 4}
    assert content["class_names"] == expected
    assert (content["model"], content["lr"], content["optimizer"]) == ("mobilenet_v3_small", 1e-3, "Adam")
    config = load_classify_config(plan.output_dir / "config.yaml")
    assert (config.class_names, config.image_size) == (tuple(expected), SIDE)


def test_the_metrics_table_has_a_row_per_epoch(plan: TrainingPlan) -> None:
    outcome, _ = run(plan)
    rows = list(csv.DictReader((plan.output_dir / "metrics.csv").read_text().splitlines()))
    assert [{key: float(value) for key, value in row.items()} for row in rows] == list(outcome.history)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    plan: TrainingPlan, uninterrupted: tuple[TrainingOutcome, Path]
) -> None:
    expected, folder = uninterrupted
    assert run(plan)[0].history == expected.history
    assert_same_weights(plan.output_dir / "MobileNetV3_epoch_2.pth", folder / "MobileNetV3_epoch_2.pth")
    assert run(replace(plan, seed=12))[0].history != expected.history


def test_only_the_newest_weights_of_this_training_are_kept(plan: TrainingPlan) -> None:
    mine = plan.output_dir / "MobileNetV3_epoch_9.pth"
    mine.write_bytes(b"of an earlier training")
    outcome, _ = run(replace(plan, num_epochs=4, keep_checkpoints=2))
    kept = {path.name for path in plan.output_dir.glob("MobileNetV3_epoch_*.pth")}
    assert kept == {"MobileNetV3_epoch_3.pth", "MobileNetV3_epoch_4.pth", mine.name}
    assert "MobileNetV3_epoch_1.pth" not in outcome.files


def test_a_training_that_gets_no_better_ends_early(plan: TrainingPlan) -> None:
    outcome, _ = run(replace(plan, num_epochs=50, learning_rate=1e-12, early_stopping_patience=2))
    assert (outcome.status, outcome.epochs_done) == ("completed", 3)


def test_what_refuses_a_file_ends_the_training_and_leaves_it_unpublished(plan: TrainingPlan) -> None:
    def refuse(files: Sequence[tuple[Path, str]]) -> None:
        for staged, name in files:
            if name == "best_model.pth":
                raise PermissionError(13, "the attempt is over")
            staged.replace(plan.output_dir / name)

    with pytest.raises(Exception, match="the attempt is over"):
        run(plan, publish_all=refuse)
    assert [path.name for path in plan.output_dir.iterdir()] == ["config.yaml"]


def test_a_full_disk_ends_the_training_with_the_earlier_files_whole(plan: TrainingPlan) -> None:
    run(replace(plan, num_epochs=1))
    before = {path.name: path.read_bytes() for path in plan.output_dir.iterdir()}
    full = OSError(28, "No space left on device")
    with patch("torch.save", side_effect=full), pytest.raises(DiskFullError):
        run(replace(plan, resume_from=plan.output_dir / "last.ckpt"))
    after_failure = {path.name: path.read_bytes() for path in plan.output_dir.iterdir()}
    assert all(after_failure[name] == content for name, content in before.items() if name != "config.yaml")


def test_more_classes_than_folders_are_a_warning_and_a_wider_head(plan: TrainingPlan) -> None:
    _, records = run(replace(plan, num_classes=5, num_epochs=1))
    assert any(record.level == "WARNING" and "num_classes is 5" in record.message for record in records)
    assert weights_in(plan.output_dir / "best_model.pth")["classifier.3.weight"].shape[0] == 5
    assert len(json.loads((plan.output_dir / "model_card.json").read_text())["classes"]) == 3


def test_fewer_classes_than_folders_are_refused(plan: TrainingPlan) -> None:
    with pytest.raises(DatasetError, match="num_classes is 2"):
        run(replace(plan, num_classes=2))


def test_an_unreadable_picture_is_named(plan: TrainingPlan, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    for name in COLOURS:
        (bad / name).mkdir(parents=True)
        (bad / name / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(UnreadablePictureError, match=r"3 pictures .* red/broken\.png"):
        run(replace(plan, val_path=bad))


def test_weights_of_another_head_are_refused(plan: TrainingPlan, tmp_path: Path) -> None:
    torch.save(build_model("mobilenet_v3_small", 8).state_dict(), tmp_path / "eight.pth")
    with pytest.raises(WeightsMismatchError, match="8 classes, but 3 are expected"):
        run(replace(plan, weight_path=str(tmp_path / "eight.pth")))


def test_a_loss_that_is_no_number_ends_the_training(plan: TrainingPlan) -> None:
    with pytest.raises(TrainingDivergedError, match="Lower learning_rate"):
        run(replace(plan, learning_rate=1e30, num_epochs=5))


def test_one_picture_at_a_time_that_cannot_be_normalised_is_explained(plan: TrainingPlan) -> None:
    with pytest.raises(ConfigError, match="Raise batch_size"):
        run(replace(plan, batch_size=1))


def test_running_out_of_gpu_memory_says_so_with_the_peak(plan: TrainingPlan) -> None:
    exhausted = torch.OutOfMemoryError("CUDA out of memory")
    with (
        patch.object(learner.Learner, "learn", side_effect=exhausted),
        patch("torch.cuda.max_memory_allocated", return_value=3 << 29),
        pytest.raises(GpuOutOfMemoryError, match=r"peak was 1\.50 GiB"),
    ):
        run(plan)


def test_pictures_over_the_memory_budget_train_the_same(plan: TrainingPlan, uninterrupted: tuple[TrainingOutcome, Path]) -> None:
    assert run(replace(plan, picture_cache_bytes=0))[0].history == uninterrupted[0].history


def test_pictures_are_decoded_once_for_all_epochs(plan: TrainingPlan) -> None:
    with patch.object(data, "decode_picture", wraps=data.decode_picture) as decode:
        run(replace(plan, num_epochs=3))
    assert decode.call_count == 21 + 9


def test_importing_the_loop_imports_neither_ray_nor_the_slow_libraries() -> None:
    unwanted = ("ray", "torchmetrics", "matplotlib", "pandas")
    check = f"import sys, actors.learning.training; sys.exit(any(m in sys.modules for m in {unwanted}))"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
