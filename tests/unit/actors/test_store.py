import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest

from actors.core import task_events as te
from actors.core.errors import StoreUnavailableError
from actors.core.model import DeviceKind, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import EndMode, Progress, TaskState
from actors.learning.memory_need import Peak, Workload
from actors.store import SCHEMA_VERSION, Store, StoredDevice
from actors.store_writer import StoreWriter
from tests.unit.core.test_task_flow import lease_for, make_submission


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/state/store.sqlite"


@pytest.fixture
def store(url):
    store = Store(url)
    yield store
    store.close()


def make_task(task_id="t", *, now=1.0):
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(make_submission(task_id, resolved={"output": "/x"})), now=now)
    return flow.get(task_id)


def make_rich_task():
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(make_submission(resolved={"output": "/x"})), now=1)
    flow.handle(te.LeaseGranted(lease_for(flow)), now=2)
    flow.handle(te.AttemptProgressed("t.1", Progress(50, "half", 3, 6, {"val_acc": 91.25})), now=3)
    flow.handle(te.EndRequested("t", EndMode.STOP), now=4)
    return flow.get("t")


def test_a_task_comes_back_as_it_was_written(store, url):
    task = make_rich_task()
    store.write_tasks([task])
    (read,) = Store(url).read_tasks()
    assert read == task
    assert read.submission.resolved == {"output": "/x"}


def test_what_a_task_counted_comes_back_with_it(store, url):
    stats = {"total_images": 402, "classes": ["a", "b"], "share": 0.5}
    task = replace(make_task(), progress=Progress(100, "done", stats=stats))
    store.write_tasks([task])
    (read,) = Store(url).read_tasks()
    assert read == task


def test_a_task_of_a_version_without_stats_can_be_read(store, url):
    store.write_tasks([make_rich_task()])
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("UPDATE tasks SET record = json_remove(record, '$.progress.stats')")
    assert Store(url).read_tasks() == [make_rich_task()]


def test_tasks_come_back_in_the_order_of_submission_in_their_last_version(store):
    first, second = make_task("b", now=1.0), make_task("a", now=2.0)
    store.write_tasks([second, first])
    store.write_tasks([first], forgotten=["a"])
    assert [task.task_id for task in store.read_tasks()] == ["b"]


def test_devices_limits_and_notes_are_kept(store, url):
    device = StoredDevice("cuda:0", DeviceKind.GPU, "host", "node", 3)
    store.write_device(device)
    store.write_limits({"cuda:0": {WorkKind.INFERENCE: 5, WorkKind.TRAINING: 2}})
    store.write_limits({"cuda:0": {WorkKind.INFERENCE: 6}})
    store.write_note("a", "b")
    again = Store(url)
    assert again.read_devices() == [device]
    assert again.read_limits() == {"cuda:0": {WorkKind.INFERENCE: 6, WorkKind.TRAINING: 2}}
    assert (again.read_note("a"), again.read_note("none")) == ("b", None)


def test_every_commit_is_synced_and_readers_do_not_block_the_writer(store, tmp_path):
    with store._engine.connect() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]


def test_a_store_of_a_newer_version_is_refused(store, url, tmp_path):
    with sqlite3.connect(tmp_path / "state/store.sqlite") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(StoreUnavailableError, match="newer version"):
        Store(url)


def test_a_measured_peak_comes_back_and_a_newer_one_replaces_it(store, url):
    work = Workload("vit_b_16", 8, 224, mixed_precision=True)
    store.write_peak(Peak(work, 5 << 30))
    store.write_peak(Peak(replace(work, batch_size=16), 9 << 30))
    store.write_peak(Peak(work, 6 << 30))
    assert set(Store(url).read_peaks()) == {Peak(work, 6 << 30), Peak(replace(work, batch_size=16), 9 << 30)}


def test_a_store_of_the_first_version_is_brought_up_to_date_and_keeps_its_tasks(store, url, tmp_path):
    store.write_tasks([make_task()])
    store.close()
    with sqlite3.connect(tmp_path / "state/store.sqlite") as connection:
        connection.execute("DROP TABLE memory_peaks")
        connection.execute("UPDATE meta SET value = '1' WHERE name = 'schema_version'")
        (record,) = connection.execute("SELECT record FROM tasks").fetchone()
        old = {key: value for key, value in json.loads(record).items() if not key.startswith("batch_")}
        connection.execute("UPDATE tasks SET record = ?", (json.dumps(old),))
    migrated = Store(url)
    assert migrated.read_tasks() == [make_task()]
    assert migrated.read_peaks() == []
    assert migrated.read_note("schema_version") == str(SCHEMA_VERSION)


def test_a_new_store_may_be_opened_by_several_at_once(url):
    with ThreadPoolExecutor(max_workers=4) as pool:
        stores = list(pool.map(Store, [url] * 4))
    assert [each.read_note("schema_version") for each in stores] == [str(SCHEMA_VERSION)] * 4


def test_a_store_that_is_no_database_is_refused_in_plain_words(tmp_path):
    (tmp_path / "store.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        Store(f"sqlite:///{tmp_path}/store.sqlite")


class TestWriter:
    def test_what_comes_together_is_committed_together_and_the_last_version_stays(self, store, monkeypatch):
        commits = []
        real = store.write_tasks
        monkeypatch.setattr(store, "write_tasks", lambda tasks, gone: (commits.append(1), real(tasks, gone)))
        writer = StoreWriter(store)
        versions = [make_task(f"t{number}", now=float(number)) for number in range(200)]
        wait([writer.save(task) for task in versions], timeout=30)
        writer.close()
        assert len(store.read_tasks()) == 200
        assert len(commits) < 200

    def test_an_acceptance_that_cannot_be_durable_is_told_and_not_tried_again(self, store, monkeypatch):
        real, fails = store.write_tasks, [True]

        def write(tasks, gone):
            if fails[0]:
                raise StoreUnavailableError("disk full")
            real(tasks, gone)

        monkeypatch.setattr(store, "write_tasks", write)
        writer = StoreWriter(store)
        kept = writer.save(make_task("running"))
        with pytest.raises(StoreUnavailableError, match="disk full"):
            writer.accept(make_task("new")).result(timeout=30)
        fails[0] = False
        kept.result(timeout=30)
        writer.close()
        assert [task.task_id for task in store.read_tasks()] == ["running"]

    def test_a_deletion_follows_the_versions_before_it(self, store):
        writer = StoreWriter(store)
        writer.accept(make_task())
        writer.forget("t").result(timeout=30)
        writer.close()
        assert store.read_tasks() == []


def test_a_restored_flow_equals_the_one_that_was_saved(store):
    task = make_rich_task()
    store.write_tasks([task])
    flow = TaskFlow()
    for read in store.read_tasks():
        flow.restore(read)
    flow.handle(te.AttemptEnded("t.1", "stopped", "stopped"), now=9)
    assert flow.get("t").state is TaskState.CANCELLED
