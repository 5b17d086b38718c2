"""What the accountant knows of replicas, and how views tell them from strangers."""

import os
from dataclasses import replace

import pytest

from actors.core.events import MemoryMeasured
from actors.core.model import GIB, DeviceKind
from actors.gpu_driver import DriverReading, GpuReading
from actors.messages import LoadedModel, ReplicaReport
from actors.presence import Presence, own_presence
from actors.replicas import SILENCE_S, Replicas
from actors.resource_view import Surroundings, build_view
from tests.unit.core.factories import make_gpu, make_scheduler

NODE = "node-a"


class Clock:
    """Moved by hand."""

    def __init__(self):
        self.time = 100.0

    def now(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scheduler():
    return make_scheduler(make_gpu(0), make_gpu(1), make_gpu(2, node="node-b"))


@pytest.fixture
def replicas(scheduler, clock):
    return Replicas(NODE, scheduler.ledger, clock)


def report(replica_id="r1", *, node=NODE, index=0, presence=None, **parts):
    return ReplicaReport(replica_id, node, DeviceKind.GPU, index, presence or own_presence(), GIB, 3 * GIB, **parts)


def test_a_report_is_answered_with_the_device_and_the_newest_one_counts(replicas, clock):
    assert replicas.take(report(index=1)).device_id == "cuda:1"
    clock.time += 2
    replicas.take(report(index=1, ongoing=3))
    (standing,) = replicas.standings()
    assert (standing.device_id, standing.heard_at, standing.report.ongoing) == ("cuda:1", 102.0, 3)


def test_a_report_of_a_device_that_is_not_known_yet_is_not_kept(replicas):
    assert replicas.take(report(node="node-new")) is None
    assert replicas.standings() == ()


def test_a_replica_of_this_node_is_there_as_long_as_its_process_however_silent(replicas, clock):
    replicas.take(report("alive"))
    replicas.take(report("gone", presence=Presence(os.getpid(), created=1.0)))
    clock.time += 100 * SILENCE_S
    assert [each.report.replica_id for each in replicas.standings()] == ["alive"]


def test_a_replica_of_another_node_is_gone_when_it_is_silent(replicas, clock):
    replicas.take(report(node="node-b", index=2, presence=Presence(1, created=1.0)))
    clock.time += SILENCE_S
    assert [each.replica_id for each in replicas.on("cuda:2")] == ["r1"]
    clock.time += 0.1
    assert replicas.on("cuda:2") == ()


def test_for_the_books_a_replica_elsewhere_speaks_only_as_long_as_its_last_report_is_fresh(replicas, clock):
    replicas.take(report(node="node-b", index=2, presence=Presence(1, created=1.0)))
    replicas.take(report("here"))
    clock.time += 2
    assert replicas.speaking_on("cuda:2") == {"r1"}
    clock.time += 1
    assert replicas.speaking_on("cuda:2") == frozenset()
    assert [each.replica_id for each in replicas.on("cuda:2")] == ["r1"]
    assert replicas.speaking_on("cuda:0") == {"here"}


def view_of(scheduler, replicas, *processes, unmatched=frozenset()):
    used = sum(size for _, size in processes)
    gpu = GpuReading(0, "Some GPU", "9.0", 24 * GIB, used, 0, 0.0, 0.0, processes)
    around = Surroundings({}, DriverReading("13.0", (gpu,)), {}, replicas.local_pids(), replicas.on, unmatched)
    return build_view(scheduler, around, now=100.0).devices[0]


def test_views_show_a_replica_as_one_and_not_as_foreign(clock):
    scheduler = make_scheduler(replace(make_gpu(), simulated=False))
    replicas = Replicas(NODE, scheduler.ledger, clock)
    replicas.take(report(models=(LoadedModel("drones", 1, "float32", GIB),)))
    scheduler.handle(MemoryMeasured("cuda:0", 6 * GIB, {}), now=100.0)
    device = view_of(scheduler, replicas, (os.getpid(), 2 * GIB), (1, 4 * GIB))
    assert device.processes == ((os.getpid(), "r1", 2 * GIB), (1, "foreign", 4 * GIB))
    assert (device.foreign_bytes, device.free_bytes) == (4 * GIB, 18 * GIB)
    assert device.replicas[0].models[0].name == "drones"


def test_where_pids_cannot_be_matched_nobody_is_called_foreign(clock):
    scheduler = make_scheduler(replace(make_gpu(), simulated=False))
    device = view_of(scheduler, Replicas(NODE, scheduler.ledger, clock), (1, GIB), unmatched={"cuda:0"})
    assert device.processes == ((1, "unknown", GIB),)
