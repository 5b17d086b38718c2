"""Stores that older versions wrote, as they wrote them: opened, brought up to date, and nothing in them lost.

``old_stores`` holds a dump for each schema: three tasks (one ended, one running, one waiting), an open lease, a device and a limit.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from actors.access_store import AccessStore
from actors.core.errors import StoreUnavailableError
from actors.core.lease_history import LeaseEvent, LeaseEventKind
from actors.core.model import WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import TaskState
from actors.learning.memory_need import Peak, Workload
from actors.lease_store import LeaseChange, LeaseStore
from actors.presence import Presence
from actors.registry.store import RegistryStore
from actors.store import SCHEMA_VERSION, Store
from actors.store_writer import StoreWriter

DUMPS = sorted(Path(__file__).with_name("old_stores").glob("schema_*.sql"))
IDS = [path.stem for path in DUMPS]
MEASURED = Peak(Workload("vit_b_16", 8, 224, mixed_precision=True), 5 << 30)


def load(dump, folder):
    path = folder / "store.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(dump.read_text())
    return path


@pytest.fixture(params=DUMPS, ids=IDS)
def old(request, tmp_path):
    """The number of a schema, and the file of a store that has it."""
    return int(request.param.stem.removeprefix("schema_")), load(request.param, tmp_path)


def open_store(path):
    return closing(LeaseStore(f"sqlite:///{path}"))


def test_there_is_a_dump_of_every_schema_up_to_the_present_one():
    numbers = {int(path.stem.removeprefix("schema_")) for path in DUMPS}
    assert numbers >= set(range(1, SCHEMA_VERSION)), "a new schema needs a dump of the one before"


def test_tasks_are_read_with_all_that_they_have_been_through(old):
    with open_store(old[1]) as store:
        tasks = {task.task_id: task for task in store.read_tasks()}
    assert {name: task.state for name, task in tasks.items()} == {
        "done": TaskState.COMPLETED,
        "runs": TaskState.RUNNING,
        "waits": TaskState.QUEUED,
    }
    assert [change.after for change in tasks["done"].history] == [TaskState.PENDING, TaskState.RUNNING, TaskState.COMPLETED]
    assert (tasks["done"].progress.epoch, tasks["done"].progress.metrics) == (3, {"val_acc": 91.25})
    assert tasks["runs"].lease.lease_id == "lease-7"
    assert tasks["waits"].submission.resolved == {"output": "/data/out/waits"}


def test_the_flow_goes_on_with_what_was_read(old):
    flow = TaskFlow()
    with open_store(old[1]) as store:
        for task in store.read_tasks():
            flow.restore(task)
    flow.validate()
    assert [task.task_id for task in flow.running()] == ["runs"]
    assert [flow.lease_request(task).request_id for task in flow.waiting()] == ["waits.1"]


def test_leases_devices_limits_and_tokens_are_kept(old):
    with open_store(old[1]) as store:
        (lease,) = store.read_leases()
        assert (lease.lease.lease_id, lease.lease.token, lease.holders[0].presence) == ("lease-7", 7, Presence(12, 34.5))
        assert store.read_last_token() == 7
        assert [device.device_id for device in store.read_devices()] == ["cuda:0"]
        assert store.read_limits() == {"cuda:0": {WorkKind.TRAINING: 2}}
        assert store.read_peaks() == ([MEASURED] if old[0] >= 2 else [])


def test_it_has_the_present_version_then_and_takes_everything_new(old):
    with open_store(old[1]) as store:
        assert store.read_note("schema_version") == str(SCHEMA_VERSION)
        store.write_peak(MEASURED)
        writer = StoreWriter(store)
        writer.save(store.read_tasks()[0]).result(timeout=30)
        writer.close()
    url = f"sqlite:///{old[1]}"
    assert AccessStore(url).read_keys().keys == {}
    assert RegistryStore(url).read_models().models == {}
    with closing(sqlite3.connect(old[1])) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_the_history_of_leases_begins_with_what_happens_next(old):
    with open_store(old[1]) as store:
        assert store.read_lease_events("runs") == []
        (lease,) = store.read_leases()
        store.write_leases(LeaseChange((), (lease.lease.lease_id,), (LeaseEvent.of(LeaseEventKind.CLOSED, lease.lease, at=9.0),)))
        assert [event.lease_id for event in store.read_lease_events("runs")] == ["lease-7"]


def test_an_old_store_opened_twice_is_the_same(old):
    with open_store(old[1]) as store:
        first = (store.read_tasks(), store.read_leases())
    with open_store(old[1]) as store:
        assert (store.read_tasks(), store.read_leases()) == first


def test_a_newer_store_is_refused_and_left_as_it_is(tmp_path):
    path = load(DUMPS[-1], tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        connection.execute("ALTER TABLE tasks ADD COLUMN colour TEXT")
        connection.commit()
        before = list(connection.iterdump())
    with pytest.raises(
        StoreUnavailableError, match=f"newer version .schema 99, this one knows {SCHEMA_VERSION}.; update the service"
    ):
        Store(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        assert list(connection.iterdump()) == before
