"""A training attempt trains on recordings as its request says, from the door to the model card."""

from unittest.mock import create_autospec

import pytest

from actors.admission import Admission
from actors.attempt_order import AttemptOrder
from actors.core.model import GIB, Device, DeviceKind, Lease, LeaseRequest, Portion, WorkKind
from actors.core.tasks import Progress, Submission
from actors.fence import FencedFolder
from actors.learning.checkpoint_list import find_checkpoint, read_checkpoint_list
from actors.learning.model_card import read_model_card
from actors.messages import GrantedLease, LeasePlace
from actors.signals.recipe import Recipe
from actors.workers import training
from actors.workers.gpu_memory import GpuMemory
from actors.workers.reporter import Reporter
from actors.workers.tools import Tools
from actors.workers.training import run_training
from configs.settings import Settings
from serve_app.schemas.training import TrainingRequest
from tests.unit.learning.recording_trees import AUGMENTATION, RATE, RECIPE, write_trees

CPU = Device("cpu:0", DeviceKind.CPU, "node-a", 0, 16 * GIB, cores=2)


def body_of(**changes):
    """What the ingress makes of a request."""
    paths = {"train_path": "data/train", "val_path": "data/valid", "save_path": "out"}
    small = {"model": "mobilenet_v3_small", "num_classes": 2, "image_size": 32, "num_epochs": 1, "pretrained": False}
    return TrainingRequest(**paths | small | changes).model_dump(mode="json", exclude={"task_id"})


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Check a request at the door, and run its attempt as the attempt's process would; returns the lines of its log."""
    monkeypatch.setattr(Tools, "settle_on_device", lambda _self: "cpu")

    def run_request(request, *, token=1, resume=False):
        submission = Admission([tmp_path]).check(
            Submission("t", WorkKind.TRAINING, "training", request, "cpu", 5, output_path="out")
        )
        wish = LeaseRequest("t.1", "t", WorkKind.TRAINING, "cpu", 5, 1.0)
        granted = GrantedLease(Lease(f"lease-{token}", token, wish, (Portion("cpu:0", 300, GIB),), 2.0), (LeasePlace(CPU, ""),))
        folder = FencedFolder(tmp_path / "out", token)
        order = AttemptOrder("t.1", "t", WorkKind.TRAINING, "training", request, submission.resolved, granted, resume=resume)
        reporter = create_autospec(Reporter, instance=True)
        reporter.progress = Progress()
        try:
            run_training(Tools(order, Settings(data_roots=(tmp_path,)), folder, reporter, 1, lambda: False, GpuMemory()))
        finally:
            folder.close()
        return [call.args[1] for call in reporter.line.call_args_list]

    return run_request


def test_the_recipe_of_the_request_reaches_the_model_card(run, tmp_path):
    write_trees(tmp_path / "data")
    lines = run(body_of(recipe=RECIPE, augmentation=AUGMENTATION))
    assert any(line.startswith("Reading 32 training frames of 8 recordings") for line in lines)
    card = read_model_card(tmp_path / "out/model_card.json")
    assert Recipe.from_dict(card.recipe) == Recipe.of(RECIPE, sample_rate=RATE)


def test_what_recordings_do_not_tell_is_taken_from_the_request(run, tmp_path):
    write_trees(tmp_path / "data")
    for path in (tmp_path / "data").rglob("*.cf32"):
        path.rename(path.with_name(path.name.replace("_433.92M_16k.cf32", ".iq")))
    run(body_of(recipe=RECIPE, sample_rate=RATE))
    assert read_model_card(tmp_path / "out/model_card.json").recipe["sample_rate"] == RATE


@pytest.mark.parametrize("resume", [False, True])
def test_what_a_deleted_task_of_the_same_id_left_is_nobodys_once_another_begins(run, tmp_path, monkeypatch, resume):
    write_trees(tmp_path / "data")
    run(body_of(recipe=RECIPE))
    before, plans = read_checkpoint_list(tmp_path / "out"), []

    def die(plan, **_):
        plans.append(plan)
        raise InterruptedError

    monkeypatch.setattr(training, "train", die)
    with pytest.raises(InterruptedError):
        run(body_of(recipe=RECIPE), token=2, resume=resume)
    assert (before.task_id, plans[0].resume_from is not None) == ("t", resume)
    assert (find_checkpoint(tmp_path / "out", "t") is not None) is resume, "for the attempt after one that died at once"
    assert find_checkpoint(tmp_path / "out") is not None
    assert read_checkpoint_list(tmp_path / "out").checkpoints == before.checkpoints
