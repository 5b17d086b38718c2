"""Memory on a real GPU: a process over its budget fails alone, and estimates are near what is measured."""

import json
import subprocess
import sys

import pytest
import torch

from actors.learning.memory_need import estimate_need
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.gpu

#: A process of its own, as each attempt has one: arguments are the data, a folder, and {model, batch_size, budget_bytes, amp}.
TRAINING = """
import json, sys
from pathlib import Path
from actors.workers.gpu_memory import GpuMemory
from actors.files.errors import WorkError
from actors.learning.plan import TrainingPlan
from actors.learning.training import train

data, folder, settings = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
(folder / "out").mkdir(parents=True)
memory = GpuMemory()
memory.cap(settings["budget_bytes"])
plan = TrainingPlan(
    model=settings["model"], num_classes=2, train_path=data / "train", val_path=data / "valid", output_dir=folder / "out",
    staging_dir=folder / "staging", batch_size=settings["batch_size"], num_epochs=1, image_size=224, device="cuda:0", threads=2,
    amp=settings["amp"], gpu_budget_bytes=memory.budget_bytes, gpu_context_bytes=memory.context_bytes,
)
fault = ""
try:
    train(plan, report=lambda _: None, should_stop=lambda: False)
except WorkError as error:
    fault = f"{error.code}: {error.message}"
peak = memory.peak()
print(json.dumps({"fault": fault, "needed": peak.needed_bytes, "reserved": peak.reserved_bytes, "context": memory.context_bytes}))
"""
GIB = 2**30


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_coloured(tmp_path_factory.mktemp("data"), train=64, valid=32, size=224)


def begin(data, folder, **settings):
    command = [sys.executable, "-c", TRAINING, str(data), str(folder), json.dumps(settings)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process):
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return json.loads(said.splitlines()[-1])


def test_a_process_that_asks_over_its_cap_fails_alone_with_the_code(data, tmp_path):
    modest = begin(data, tmp_path / "modest", model="resnet18", batch_size=16, budget_bytes=4 * GIB, amp=False)
    greedy = begin(data, tmp_path / "greedy", model="resnet50", batch_size=128, budget_bytes=2 * GIB, amp=False)
    failed, done = outcome(greedy), outcome(modest)
    assert failed["fault"].startswith("gpu_out_of_memory: training resnet50 with batch_size 128")
    assert "of a budget of 2.00 GiB; batch_size" in failed["fault"]
    assert failed["reserved"] <= 2 * GIB + 64 * 2**20
    assert done["fault"] == ""
    assert done["reserved"] <= 4 * GIB


@pytest.mark.parametrize("amp", [False, True])
@pytest.mark.parametrize("model", ["resnet18", "mobilenet_v3_large"])
def test_an_estimate_is_within_a_factor_of_two_of_the_measured_peak(data, tmp_path, model, amp):
    _, total = torch.cuda.mem_get_info()
    seen = outcome(begin(data, tmp_path, model=model, batch_size=64, budget_bytes=total // 2, amp=amp))
    estimate = estimate_need(model, batch_size=64, image_size=224, mixed_precision=amp)
    assert seen["fault"] == ""
    assert seen["needed"] / 2 <= estimate <= 2 * seen["needed"]


def test_the_context_is_told_by_the_driver(data, tmp_path):
    seen = outcome(begin(data, tmp_path, model="resnet18", batch_size=2, budget_bytes=4 * GIB, amp=False))
    assert 64 * 2**20 <= seen["context"] < GIB
