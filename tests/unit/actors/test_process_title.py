"""What people read about an attempt in a list of processes."""

import pytest

from actors.attempt_order import AttemptOrder
from actors.core.model import Device, DeviceKind, Lease, LeaseRequest, Portion, WorkKind
from actors.core.tasks import Progress
from actors.messages import GrantedLease, LeasePlace
from actors.workers.title import describe_attempt, describe_progress


def order(places=1, rank=0, **request):
    wish = LeaseRequest("t.1", "t", WorkKind.TRAINING, "cuda", 5, 0.0, device_count=places)
    lease = Lease("l", 1, wish, tuple(Portion(f"cuda:{each}", 1500, 1) for each in range(places)), 0.0)
    devices = tuple(LeasePlace(Device(f"cuda:{each}", DeviceKind.GPU, "n", each, 1), "g") for each in range(places))
    return AttemptOrder("t.1", "t", WorkKind.TRAINING, "training", request, {}, GrantedLease(lease, devices, rank))


def test_it_names_work_model_run_and_task():
    assert describe_attempt(order(model="resnet18", name="first-run")) == "training resnet18 first-run (task t)"


def test_a_rank_says_which_it_is():
    assert describe_attempt(order(2, 1, model="vit_b_16")) == "training vit_b_16 (task t, rank 1 of 2)"


def test_long_and_unprintable_names_stay_readable():
    said = describe_attempt(order(model="resnet18", name="a\nb" + "x" * 300))
    assert said.isprintable()
    assert len(said) < 120


@pytest.mark.parametrize(
    ("progress", "said"),
    [(Progress(42, epoch=3, total_epochs=10), "epoch 3/10 42 %"), (Progress(7), "7 %")],
)
def test_progress_is_a_few_words(progress, said):
    assert describe_progress(progress) == said
