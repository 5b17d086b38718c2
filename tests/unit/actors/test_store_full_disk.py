"""A full disk under the store: nothing new is accepted, nothing is damaged, and what has to be written is written once there is room."""

import sqlite3
from concurrent.futures import CancelledError

import pytest

from actors.core import task_events as te
from actors.core.errors import StoreUnavailableError
from actors.core.task_flow import TaskFlow
from actors.core.tasks import TaskState
from actors.lease_store import LeaseChange, LeaseStore, StoredLease
from actors.store_writer import StoreWriter
from tests.actors.waiting import wait_for
from tests.small_disk import fill_up, small_disk
from tests.unit.core.factories import make_request, make_scheduler, must_grant
from tests.unit.core.test_task_flow import lease_for, make_submission


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=2) as folder:
        yield folder


@pytest.fixture
def store(disk):
    store = LeaseStore(f"sqlite:///{disk}/store.sqlite")
    yield store
    store.close()


@pytest.fixture
def writer(store):
    writer = StoreWriter(store)
    yield writer
    writer.close()


def submitted(task_id, **changes):
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(make_submission(task_id, **changes)), now=1.0)
    return flow.get(task_id)


def running_flow():
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(make_submission("t")), now=1.0)
    flow.handle(te.LeaseGranted(lease_for(flow)), now=2.0)
    return flow


def refuse_until_full(writer):
    """Submit until the disk's last pages are used up, too; returns what was accepted and the error of what was not."""
    accepted = []
    for number in range(1000):
        task = submitted(f"n{number}", resolved={"output": "/x" * 4000})
        try:
            writer.accept(task).result(timeout=30)
        except StoreUnavailableError as error:
            return accepted, error
        accepted.append(task.task_id)
    raise AssertionError("the disk never got full")


def assert_undamaged(disk):
    with sqlite3.connect(disk / "store.sqlite") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_submission_is_refused_with_the_remedy_and_what_was_accepted_stays(disk, store, writer):
    fill_up(disk)
    accepted, error = refuse_until_full(writer)
    assert "disk is full" in str(error)
    assert "free some space" in str(error)
    assert {task.task_id for task in store.read_tasks()} == set(accepted)
    assert_undamaged(disk)


def test_the_end_of_a_running_task_is_written_once_there_is_room(disk, store, writer):
    flow = running_flow()
    writer.accept(flow.get("t")).result(timeout=30)
    ballast = fill_up(disk)
    refuse_until_full(writer)
    flow.handle(te.AttemptEnded("t.1", "completed", "all done " * 2000), now=3.0)
    end = writer.save(flow.get("t"))
    wait_for(lambda: writer.trouble, what="the trouble to be known")
    assert not end.done()
    assert next(task for task in store.read_tasks() if task.task_id == "t").state is TaskState.RUNNING
    ballast.unlink()
    end.result(timeout=30)
    assert LeaseStore(f"sqlite:///{disk}/store.sqlite").read_tasks()[0].state is TaskState.COMPLETED
    assert_undamaged(disk)


def test_of_a_task_that_goes_on_meanwhile_only_the_newest_version_waits(disk, store, writer):
    ballast = fill_up(disk)
    refuse_until_full(writer)
    long = {"output": "/y" * 20_000}
    versions = [writer.save(submitted("t", resolved=long | {"number": str(number)})) for number in range(5)]
    wait_for(lambda: all(done.cancelled() for done in versions[:-1]), what="the earlier versions to be dropped")
    ballast.unlink()
    versions[-1].result(timeout=30)
    assert next(task for task in store.read_tasks() if task.task_id == "t").submission.resolved["number"] == "4"
    with pytest.raises(CancelledError):
        versions[0].result(timeout=0)


def test_who_asks_whether_it_is_well_learns_that_it_takes_nothing(disk, store, writer):
    ballast = fill_up(disk)
    refuse_until_full(writer)
    store.ping()
    with pytest.raises(StoreUnavailableError, match="full"):
        store.prove_room()
    ballast.unlink()
    store.prove_room()
    assert store.read_note("proof_of_room") is None


def test_leases_are_written_or_not_never_in_part(disk, store, writer):
    kept = StoredLease(must_grant(make_scheduler(), make_request()), "session")
    store.write_leases(LeaseChange(leases=(kept,)))
    fill_up(disk)
    refuse_until_full(writer)
    with pytest.raises(StoreUnavailableError, match="full"):
        store.write_leases(LeaseChange((StoredLease(kept.lease, "s" * 50_000),), closed=("none",)))
    assert store.read_leases() == [kept]
    assert_undamaged(disk)


def test_a_store_that_is_full_is_opened_and_read_by_who_comes_next(disk, store, writer):
    writer.accept(submitted("t")).result(timeout=30)
    fill_up(disk)
    accepted, _ = refuse_until_full(writer)
    assert {task.task_id for task in LeaseStore(f"sqlite:///{disk}/store.sqlite").read_tasks()} == {"t", *accepted}
