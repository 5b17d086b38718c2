"""What an evaluation attempt makes of its order, and which model card it touches."""

import json
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from actors.attempt_order import AttemptOrder
from actors.core.model import GIB, Device, DeviceKind, Lease, LeaseRequest, Portion, WorkKind
from actors.core.tasks import EVALUATE, Progress
from actors.fence import FencedFolder
from actors.learning.model_card import ModelCard, read_model_card, sha256_of, write_model_card
from actors.learning.zoo import build_model
from actors.messages import GrantedLease, LeasePlace
from actors.workers.evaluation import run_evaluation_job
from actors.workers.gpu_memory import GpuMemory
from actors.workers.tools import Tools
from configs.settings import Settings

CPU = Device("cpu:0", DeviceKind.CPU, "node-a", 0, 16 * GIB, cores=2)
CLASSES = ("dark", "light")
OPEN = dict.fromkeys(("band_hz", "recipe", "sample_rate", "center_frequency", "format")) | {"seed": 0}


class FakeReporter:
    def __init__(self):
        self.lines = []
        self.progress = Progress()

    def line(self, level, message, **marks):
        self.lines.append((level, message, marks))

    def advance(self, percent, message):
        self.progress = Progress(percent, message)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "root/model"
    folder.mkdir(parents=True)
    torch.save(build_model("mobilenet_v3_small", 2).state_dict(), folder / "best_model.pth")
    keys = {
        "model": "mobilenet_v3_small",
        "num_classes": 2,
        "class_names": dict(zip(CLASSES, (0, 1), strict=True)),
        "image_size": 32,
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(keys), "utf-8")
    return folder


@pytest.fixture
def data(tmp_path):
    for name, value in zip(CLASSES, (0, 255), strict=True):
        (tmp_path / "root/data" / name).mkdir(parents=True)
        Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(tmp_path / "root/data" / name / "1.png")
    return tmp_path / "root/data"


@pytest.fixture
def reporter():
    return FakeReporter()


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def attempt(tmp_path, model, data, reporter, stop, monkeypatch):
    """Run an attempt as its process would."""
    monkeypatch.setattr(Tools, "settle_on_device", lambda _self: "cpu")

    def run(**changes):
        wish = LeaseRequest("t.1", "t", WorkKind.INFERENCE, "cpu", 3, 1.0)
        granted = GrantedLease(Lease("lease", 1, wish, (Portion("cpu:0", 300, GIB),), 2.0), (LeasePlace(CPU, ""),))
        folder = FencedFolder(tmp_path / "root/out", 1)
        resolved = {
            "cfg_path": model / "config.yaml",
            "weight_path": model / "best_model.pth",
            "data_path": data,
            "output": folder.folder,
        }
        resolved = {name: str(path) for name, path in (resolved | changes).items()}
        order = AttemptOrder("t.1", "t", WorkKind.INFERENCE, EVALUATE, OPEN, resolved, granted)
        tools = Tools(order, Settings(data_roots=(tmp_path / "root",)), folder, reporter, 1, stop.is_set, GpuMemory())
        try:
            return run_evaluation_job(tools)
        finally:
            folder.close()

    return run


def card_of(weights, **changes):
    values = {"architecture": "mobilenet_v3_small", "classes": list(CLASSES), "num_classes": 2, "image_size": 32, "seed": 7}
    return ModelCard(**(values | {"weights_sha256": sha256_of(weights)} | changes))


def test_it_publishes_figures_and_ends_with_them(attempt, tmp_path, reporter):
    result = attempt()
    found = json.loads((tmp_path / "root/out/evaluation.json").read_text())
    assert result.outcome == "completed"
    assert result.progress.metrics["accuracy"] == found["scores"][0]["accuracy"]
    assert (reporter.lines[-1][2]["stage"], reporter.lines[-1][2]["progress"]) == ("completed", 100)
    assert any("no model_card.json beside the weights" in message for _, message, _ in reporter.lines)


def test_the_figures_go_into_the_card_of_these_weights_and_change_nothing_else_in_it(attempt, model, tmp_path):
    before = card_of(model / "best_model.pth", metrics={"val_acc": 50.0})
    write_model_card(model / "model_card.json", before)
    attempt()
    after = read_model_card(model / "model_card.json")
    score = json.loads((tmp_path / "root/out/evaluation.json").read_text())["scores"][0]
    names = ("accuracy", "macro_f1", "recording_accuracy", "frames", "recordings")
    assert after.metrics_by_snr == {"clean": {name: score[name] for name in names}}
    assert replace(after, metrics_by_snr=None) == before


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda model: write_model_card(model / "model_card.json", card_of(model / "config.yaml")), "of other weights"),
        (lambda model: (model / "model_card.json").write_text("{}"), "cannot be used"),
        (lambda model: (model / "model_card.json").symlink_to(outside(model)), "outside the data roots"),
    ],
)
def test_a_card_that_does_not_fit_stays_as_it_is_and_the_log_says_why(attempt, model, reporter, spoil, words):
    spoil(model)
    before = (model / "model_card.json").read_bytes()
    assert attempt().outcome == "completed"
    assert (model / "model_card.json").read_bytes() == before
    ((level, message),) = [(level, message) for level, message, _ in reporter.lines if "not stored with the model" in message]
    assert level == "WARNING"
    assert words in message


def outside(model):
    """A card of the weights that lies in no data root."""
    path = model.parents[1] / "card.json"
    write_model_card(path, card_of(model / "best_model.pth"))
    return path


def test_a_stop_publishes_nothing_and_leaves_the_card_alone(attempt, model, stop, tmp_path):
    write_model_card(model / "model_card.json", card_of(model / "best_model.pth"))
    stop.set()
    result = attempt()
    assert (result.outcome, result.message) == ("stopped", "stopped after 0 of 1 ratios")
    assert read_model_card(model / "model_card.json").metrics_by_snr is None
    assert not (tmp_path / "root/out/evaluation.json").exists()
