"""Training, its memory cap and the driver's figures on a real GPU, without Ray."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from actors.files.atomic import move_into_place
from actors.gpu_driver import read_gpus
from actors.learning.batch_inference import run_inference
from actors.learning.inference_plan import InferencePlan
from actors.learning.plan import TrainingPlan
from actors.learning.training import train
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.gpu

GIB = 2**30
OVER_BUDGET = """
import torch
from actors.workers.gpu_memory import GpuMemory
print(GpuMemory().cap(2 * 2**30))
kept = torch.zeros(2**28, dtype=torch.uint8, device="cuda")
try:
    torch.zeros(4 * 2**30, dtype=torch.uint8, device="cuda")
except torch.OutOfMemoryError:
    print("refused")
print(torch.cuda.memory_reserved() < 2 * 2**30)
"""


@pytest.fixture
def plan(tmp_path):
    data = write_coloured(tmp_path / "data", train=24, valid=8, size=64)
    for name in ("out", "staging"):
        (tmp_path / name).mkdir()
    return TrainingPlan(
        model="resnet18",
        num_classes=2,
        train_path=data / "train",
        val_path=data / "valid",
        output_dir=tmp_path / "out",
        staging_dir=tmp_path / "staging",
        num_epochs=4,
        image_size=64,
        learning_rate=1e-3,
        device="cuda:0",
        amp=True,
    )


def test_a_training_on_the_gpu_learns_and_its_weights_predict_there(plan, tmp_path):
    outcome = train(plan, report=lambda _: None, should_stop=lambda: False)
    assert outcome.status == "completed"
    assert outcome.best_acc > 90
    assert torch.cuda.max_memory_allocated() > 0
    out = plan.output_dir
    job = InferencePlan(out / "config.yaml", out / "best_model.pth", plan.val_path, tmp_path / "i", tmp_path / "s", "cuda:0", 2)

    def publish(staged: Path, name: str) -> None:
        (tmp_path / "i" / name).parent.mkdir(parents=True, exist_ok=True)
        move_into_place(staged, tmp_path / "i" / name)

    result = run_inference(job, report=lambda _: None, should_stop=lambda: False, publish=publish)
    assert (result.status, result.done, result.failed) == ("completed", 16, 0)


def test_a_process_cannot_take_more_of_the_gpu_than_its_budget():
    done = subprocess.run([sys.executable, "-c", OVER_BUDGET], capture_output=True, text=True, check=True)
    cap, refused, is_within = done.stdout.splitlines()
    assert "capped at 2.00 GiB" in cap
    assert (refused, is_within) == ("refused", "True")


def test_the_driver_tells_the_whole_card():
    reading = read_gpus()
    gpu = reading.gpus[0]
    _, total = torch.cuda.mem_get_info()
    assert gpu.name == torch.cuda.get_device_name(0)
    assert gpu.total_bytes == pytest.approx(total, rel=0.05)
    assert 0 < gpu.used_bytes < gpu.total_bytes
    assert float(reading.cuda_version) >= 12
