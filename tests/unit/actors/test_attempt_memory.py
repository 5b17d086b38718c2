"""What a training attempt does when memory runs out, and what it tells of its peak."""

from types import SimpleNamespace

import pytest
import torch

from actors.attempt_order import AttemptOrder, AttemptResult
from actors.core import task_events as te
from actors.core.model import GIB, Device, DeviceKind, Lease, Portion, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import Progress, Submission, TaskState
from actors.fence import FencedFolder
from actors.learning.errors import GpuOutOfMemoryError
from actors.learning.learner import Learner
from actors.learning.memory_need import Peak, Workload
from actors.messages import GrantedLease, LeasePlace
from actors.workers import gpu_memory
from actors.workers.attempt import _explain, _with_peak
from actors.workers.gpu_memory import GpuMemory, GpuPeak
from actors.workers.tools import Tools
from actors.workers.training import run_training
from configs.settings import Settings
from tests.service.pictures import write_coloured

GPU = Device("cuda:0", DeviceKind.GPU, "node-a", 0, 24 * GIB, simulated=True)
#: Two classes of 12 pictures: three batches of 8, or six of 4.
PICTURES = 24


class FakeReporter:
    def __init__(self):
        self.lines = []
        self.progress = Progress()

    def line(self, _level, message, **_marks):
        self.lines.append(message)

    def advance(self, percent, message, **marks):
        self.progress = Progress(percent, message, **marks)


class UsedGpu(GpuMemory):
    """A GPU of 2 GiB for this process, 1.25 of it used."""

    def __init__(self):
        super().__init__()
        self.budget_bytes = 2 * GIB
        self.context_bytes = GIB // 2

    def peak(self):
        return GpuPeak(reserved_bytes=3 * GIB // 2, needed_bytes=5 * GIB // 4)


@pytest.fixture
def flow(tmp_path):
    data = write_coloured(tmp_path / "data", train=PICTURES // 2, valid=4)
    request = {"model": "resnet18", "num_classes": 2, "batch_size": 8, "num_epochs": 3, "learning_rate": 1e-3, "image_size": 32}
    request |= {"pretrained": False, "shuffle": True, "on_oom": "reduce_batch"}
    resolved = {
        "train_path": str(data / "train"),
        "val_path": str(data / "valid"),
        "weight_path": "",
        "output": str(tmp_path / "out"),
    }
    submission = Submission("t", WorkKind.TRAINING, "training", request, "cuda", 5, max_retries=0, resolved=resolved)
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(submission), now=1)
    return flow


@pytest.fixture
def reporter():
    return FakeReporter()


@pytest.fixture
def attempt(flow, reporter, tmp_path, monkeypatch):
    """Run the current attempt of the task as its process would, and let the flow take in how it ended."""
    monkeypatch.setattr(Tools, "settle_on_device", lambda _self: "cpu")
    settings = Settings(state_dir=tmp_path / "state", data_roots=(tmp_path,))

    def run(token, memory=None):
        task = flow.get("t")
        lease = Lease(f"lease-{token}", token, flow.lease_request(task), (Portion("cuda:0", 1500, 2 * GIB),), 5.0)
        start = flow.handle(te.LeaseGranted(lease), now=token)[-1]
        order = AttemptOrder(
            attempt_id=task.attempt_id,
            task_id="t",
            work=WorkKind.TRAINING,
            task_type="training",
            request=start.task.request,
            resolved=task.submission.resolved,
            granted=GrantedLease(lease, (LeasePlace(GPU, ""),)),
            resume=start.resume,
        )
        tools = Tools(order, settings, FencedFolder(tmp_path / "out", token), reporter, 1, lambda: False, memory or GpuMemory())
        try:
            result = run_training(tools)
        except GpuOutOfMemoryError as error:
            result = _explain(error, reporter, ())
        flow.handle(te.AttemptEnded(task.attempt_id, result.outcome, result.message, result.fault), now=token)
        return result

    return run


@pytest.fixture
def memory_for_four(monkeypatch):
    """From the second epoch on the GPU has memory for four pictures at a time only."""
    learned = []
    learn = Learner.learn

    def limited(learner, batch):
        learned.append(len(batch))
        if sum(learned) > PICTURES and len(batch) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return learn(learner, batch)

    monkeypatch.setattr(Learner, "learn", limited)
    return learned


def test_a_training_that_runs_out_of_memory_goes_on_after_its_checkpoint_with_half_the_batch(
    flow, attempt, reporter, memory_for_four
):
    first = attempt(1)
    assert (first.outcome, first.fault.code) == ("failed", "gpu_out_of_memory")
    assert (flow.get("t").state, flow.get("t").batch_size_override) == (TaskState.QUEUED, 4)
    second = attempt(2)
    assert (second.outcome, flow.get("t").state) == ("completed", TaskState.COMPLETED)
    assert memory_for_four == [8, 8, 8, 8] + 2 * [4, 4, 4, 4, 4, 4]
    assert any("Resuming after 1 epochs and 0 pictures" in line for line in reporter.lines)


def test_a_training_tells_what_it_needed_of_its_gpu(attempt):
    expected = Peak(Workload("resnet18", 8, 32, mixed_precision=True), 5 * GIB // 4)
    assert attempt(1, UsedGpu()).peak == expected


def test_a_training_without_a_gpu_teaches_nothing(attempt):
    assert attempt(1).peak is None


def test_every_end_says_the_peak_in_the_log_and_in_the_result(reporter):
    result = _with_peak(AttemptResult("completed", "done"), UsedGpu(), reporter)
    assert result.peak_bytes == 3 * GIB // 2
    assert reporter.lines == ["GPU memory peak 1.50 GiB of a budget of 2.00 GiB (1.25 GiB needed at once)"]


def test_without_a_gpu_there_is_no_peak_to_tell(reporter):
    assert _with_peak(AttemptResult("completed", "done"), GpuMemory(), reporter) == AttemptResult("completed", "done")
    assert reporter.lines == []


@pytest.fixture
def pretended_gpu(monkeypatch):
    """torch's side of a GPU of 10 GiB; returns what is set on it. ``used`` are the driver's readings, the last one for ever."""
    fractions, used = [], [0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _index: SimpleNamespace(total_memory=10 * GIB))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", fractions.append)
    monkeypatch.setattr(torch, "zeros", lambda *_args, **_kwargs: None)
    monkeypatch.setattr(gpu_memory, "_used_bytes", lambda _index: used.pop(0) if len(used) > 1 else used[0])
    return SimpleNamespace(fractions=fractions, used=used)


@pytest.mark.parametrize(("grown_by", "context"), [(GIB // 4, GIB // 4), (0, GIB // 2), (5 * GIB, GIB // 2), (-GIB, GIB // 2)])
def test_the_cap_leaves_room_for_the_context_as_measured_or_as_usual(pretended_gpu, grown_by, context):
    pretended_gpu.used[:] = [2 * GIB, 2 * GIB + grown_by]
    memory = GpuMemory()
    assert "capped at 3.00 GiB" in memory.cap(3 * GIB)
    assert (memory.budget_bytes, memory.context_bytes) == (3 * GIB, context)
    assert pretended_gpu.fractions == [(3 * GIB - context) / (10 * GIB)]


def test_a_gpu_without_room_for_the_context_is_out_of_memory(pretended_gpu, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(torch, "zeros", refuse)
    with pytest.raises(GpuOutOfMemoryError, match="others hold it all"):
        GpuMemory().cap(3 * GIB)
