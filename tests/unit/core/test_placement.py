import pytest

from actors.core.events import LimitsChanged
from actors.core.model import GIB, DeviceKind, WorkKind
from actors.core.placement import LoadIndex, find_full, memory_budget, portion_units
from actors.core.serving import choose_allowance
from tests.unit.core.factories import ask, make_cpu, make_gpu, make_request, make_scheduler, must_grant


def test_while_limits_leave_room_a_lease_takes_its_fixed_portion():
    scheduler = make_scheduler(make_gpu(), make_cpu())
    assert must_grant(scheduler, make_request()).portions[0].units == 1500
    assert must_grant(scheduler, make_request(work=WorkKind.INFERENCE)).portions[0].units == 300
    assert must_grant(scheduler, make_request(selector="cpu")).portions[0].units == 1200


@pytest.mark.parametrize("training", [0, 1, 5, 17, 64])
@pytest.mark.parametrize("inference", [0, 1, 5, 17, 64])
def test_every_place_that_the_limits_open_fits_the_share(training, inference):
    scheduler = make_scheduler(make_gpu(memory_bytes=256 * GIB))
    scheduler.handle(LimitsChanged({"cuda:0": {WorkKind.TRAINING: training, WorkKind.INFERENCE: inference}}), now=0)
    for work, limit in ((WorkKind.INFERENCE, inference), (WorkKind.TRAINING, training)):
        for _ in range(limit):
            must_grant(scheduler, make_request(work=work))
    account = scheduler.ledger.accounts["cuda:0"]
    assert account.held_units <= account.share_units
    assert len(account.leases) == training + inference
    scheduler.validate()


def test_the_default_training_budget_leaves_serving_and_inference_their_memory():
    account = make_scheduler(make_gpu(memory_bytes=24 * GIB)).ledger.accounts["cuda:0"]
    policy = make_scheduler().policy
    assert memory_budget(account, make_request(), policy) == (24 - 6 - 3) * GIB
    assert memory_budget(account, make_request(work=WorkKind.INFERENCE), policy) == GIB
    assert memory_budget(account, make_request(memory_bytes=5 * GIB), policy) == 5 * GIB


def test_the_index_offers_the_least_loaded_device_with_room():
    scheduler = make_scheduler(make_gpu(0), make_gpu(1), make_gpu(2))
    devices = [must_grant(scheduler, make_request()).device_id for _ in range(3)]
    assert devices == ["cuda:0", "cuda:1", "cuda:2"]
    ask(scheduler, make_request(work=WorkKind.INFERENCE, selector="cuda:0"))
    assert must_grant(scheduler, make_request(work=WorkKind.INFERENCE)).device_id == "cuda:1"


def test_an_index_with_nothing_in_it_has_no_device_to_offer():
    policy = make_scheduler().policy
    scheduler = make_scheduler(make_cpu())
    assert LoadIndex(policy).least_loaded(make_cpu().kind, WorkKind.TRAINING) is None
    assert find_full(scheduler.ledger.accounts["cpu:0"], WorkKind.TRAINING, policy) is None
    assert portion_units(scheduler.ledger.accounts["cpu:0"], WorkKind.PREPROCESSING, policy) == 300


def test_serving_gets_two_replicas_on_each_gpu_or_two_on_each_cpu_where_there_is_no_gpu():
    policy = make_scheduler().policy
    with_gpus = choose_allowance([make_gpu(0), make_gpu(1), make_cpu()], policy)
    assert (with_gpus.kind, with_gpus.replica_units, with_gpus.most_replicas) == ("cuda", 1250, 4)
    without = choose_allowance([make_cpu(0), make_cpu(1)], policy)
    assert (without.kind, without.replica_units, without.most_replicas) == ("cpu", 1000, 4)


def test_a_replicas_kind_stays_when_gpus_come_and_its_cores_are_those_of_the_smallest_cpu():
    policy = make_scheduler().policy
    devices = [make_gpu(0), make_cpu(0, cores=8), make_cpu(1, cores=2)]
    allowance = choose_allowance(devices, policy, DeviceKind.CPU)
    assert (allowance.kind, allowance.most_replicas, allowance.device_cores) == ("cpu", 4, 2)
    assert choose_allowance([make_cpu()], policy, DeviceKind.GPU).most_replicas == 0
