"""The proof of histories finds what is wrong. The broken stores have a name of their own, for the proof at the end of the run."""

import json
import sqlite3
from dataclasses import replace

import pytest

from actors.core import task_events as te
from actors.core.lease_history import LeaseEvent, LeaseEventKind
from actors.core.model import Lease, LeaseRequest, Portion, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import TRANSITIONS
from actors.lease_store import LeaseChange, LeaseStore, StoredLease
from actors.store import SCHEMA_VERSION
from tests.history import MOVES, SCHEMA, check_history, check_stores, find_stores
from tests.unit.core.test_task_flow import make_submission

NAME = "made_up.sqlite"
GRANTED, ADOPTED, ENDED, CLOSED = LeaseEventKind


def make_lease(token=10, *, attempt="t.1", units=1_500, device="cuda:0", granted_at=100.0):
    request = LeaseRequest(attempt, attempt.rpartition(".")[0], WorkKind.TRAINING, "cuda", 5, 0.0)
    return Lease(f"lease-{token}", token, request, (Portion(device, units, 1),), granted_at)


class History:
    """A store that anything can be written into."""

    def __init__(self, folder):
        self.path = folder / NAME
        self.store = LeaseStore(f"sqlite:///{self.path}")
        self.at = 100.0

    def tell(self, kind, lease, *, keeps=None):
        """Tell one step of a lease; its row comes and goes with it, unless ``keeps`` says otherwise."""
        self.at += 1
        is_open = kind is not CLOSED if keeps is None else keeps
        event = LeaseEvent.of(kind, lease, at=self.at)
        rows, gone = ((StoredLease(lease, "session"),), ()) if is_open else ((), (lease.lease_id,))
        self.store.write_leases(LeaseChange(rows, gone, (event,)))

    def live(self, lease):
        """Tell a whole life."""
        for kind in (GRANTED, ENDED, CLOSED):
            self.tell(kind, lease)

    def run_task(self, task_id="t"):
        """Write a task that got a lease and ended; returns the lease."""
        flow, lease = TaskFlow(), make_lease(attempt=f"{task_id}.1")
        for event in (
            te.TaskSubmitted(make_submission(task_id)),
            te.LeaseGranted(lease),
            te.AttemptEnded(f"{task_id}.1", "completed", ""),
        ):
            flow.handle(event, now=self.at)
        self.store.write_tasks(flow.tasks.values())
        return lease

    def change_task(self, change):
        """Write a record that no task flow would make."""
        with sqlite3.connect(self.path) as connection:
            ((text,),) = connection.execute("SELECT record FROM tasks").fetchall()
            record = json.loads(text)
            change(record)
            connection.execute("UPDATE tasks SET record = ?", (json.dumps(record),))


@pytest.fixture
def history(tmp_path):
    history = History(tmp_path)
    yield history
    history.store.close()


def test_the_proof_knows_the_present_schema_and_the_present_moves():
    assert str(SCHEMA_VERSION) == SCHEMA
    assert {key: value for key, value in MOVES.items() if key} == {key.value: set(value) for key, value in TRANSITIONS.items()}


def test_a_history_that_could_have_happened_passes_and_stays_as_it_is(history):
    history.live(history.run_task())
    second = make_lease(11, attempt="t.2", units=7_500)
    for kind in (GRANTED, ADOPTED, ENDED, ADOPTED, ENDED, CLOSED):
        history.tell(kind, second)
    before = history.path.read_bytes()
    check_history(history.path, is_settled=True)
    check_history(f"sqlite:///{history.path}")
    assert history.path.read_bytes() == before


def test_a_lease_of_before_the_history_began_passes(history):
    old = make_lease(3, attempt="old.1")
    for kind in (ADOPTED, CLOSED):
        history.tell(kind, old)
    history.live(make_lease(4))
    check_history(history.path)


def test_a_lease_that_is_granted_again_is_found(history):
    history.live(make_lease())
    history.tell(GRANTED, make_lease())
    with pytest.raises(AssertionError, match="lease-10 is granted a second time"):
        check_history(history.path)


def test_a_token_that_does_not_grow_is_found(history):
    history.live(make_lease(10))
    history.live(make_lease(9, attempt="u.1"))
    with pytest.raises(AssertionError, match="lease-9 has token 9 after 10"):
        check_history(history.path)


def test_an_attempt_with_two_leases_is_found(history):
    history.tell(GRANTED, make_lease(10))
    history.tell(GRANTED, make_lease(11))
    with pytest.raises(AssertionError, match=r"t\.1 gets lease-11 and holds lease-10"):
        check_history(history.path)


@pytest.mark.parametrize(("device", "units", "share"), [("cuda:0", 3_751, 7_500), ("cpu:0", 4_001, 8_000)])
def test_a_device_with_more_than_its_share_is_found(history, device, units, share):
    history.tell(GRANTED, make_lease(10, attempt="a.1", units=units, device=device))
    history.tell(GRANTED, make_lease(11, attempt="b.1", units=units, device=device))
    with pytest.raises(AssertionError, match=f"lease-11 brings {device} to {2 * units} of {share} units"):
        check_history(history.path)


def test_units_that_came_back_may_be_granted_again(history):
    history.live(make_lease(10, units=7_500))
    history.live(make_lease(11, attempt="t.2", units=7_500))
    check_history(history.path)


def test_what_happens_to_a_lease_after_its_close_is_found(history):
    history.live(make_lease())
    history.tell(CLOSED, make_lease())
    with pytest.raises(AssertionError, match="lease-10 is closed after its close"):
        check_history(history.path)


def test_a_lease_that_was_never_granted_is_found(history):
    history.live(make_lease(10))
    history.tell(ADOPTED, make_lease(11, attempt="u.1"))
    with pytest.raises(AssertionError, match="lease-11 is adopted and was never granted"):
        check_history(history.path)


def test_a_lease_that_became_another_is_found(history):
    history.tell(GRANTED, make_lease())
    history.tell(CLOSED, make_lease(units=300))
    with pytest.raises(AssertionError, match="lease-10 is another lease than was granted"):
        check_history(history.path)


def test_rows_that_do_not_agree_with_the_history_are_found(history):
    history.tell(GRANTED, make_lease(10, attempt="a.1"), keeps=False)
    history.tell(GRANTED, make_lease(11, attempt="b.1"))
    history.tell(CLOSED, make_lease(11, attempt="b.1"), keeps=True)
    with pytest.raises(AssertionError, match=r"(?s)lease-10 is open by its history and not kept.*lease-11 is kept as open"):
        check_history(history.path)


def test_a_lease_that_outlives_its_task_is_found(history):
    lease = history.run_task()
    history.tell(GRANTED, lease)
    check_history(history.path)
    with pytest.raises(AssertionError, match=r"lease-10 of t\.1 is still open"):
        check_history(history.path, is_settled=True)
    history.at += 1_000
    history.live(make_lease(11, attempt="u.1"))
    with pytest.raises(AssertionError, match=r"lease-10 of t\.1 is open 1\d\d\d s after the end"):
        check_history(history.path)


def test_an_illegal_move_is_found(history):
    history.run_task()
    history.change_task(lambda record: record["history"].insert(1, record["history"].pop()))
    with pytest.raises(AssertionError, match="task t: running -> completed after pending"):
        check_history(history.path)


def test_a_state_that_is_not_the_last_of_the_history_is_found(history):
    history.run_task()
    history.change_task(lambda record: record.update(state="failed"))
    with pytest.raises(AssertionError, match="task t: its row says completed, its record failed, its history completed"):
        check_history(history.path)


def test_an_unfinished_task_is_found_where_everything_should_be_over(history):
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(make_submission("t")), now=1.0)
    history.store.write_tasks([replace(task) for task in flow.tasks.values()])
    check_history(history.path)
    with pytest.raises(AssertionError, match="task t is still pending"):
        check_history(history.path, is_settled=True)


def test_every_store_below_a_folder_is_checked_and_a_broken_one_is_named(history, tmp_path):
    other = tmp_path / "deep" / "down"
    other.mkdir(parents=True)
    sound = History(other)
    sound.live(make_lease())
    (tmp_path / "no_store").mkdir()
    (tmp_path / "no_store" / NAME).write_bytes(b"no database" * 100)
    assert check_stores(tmp_path, NAME) == 2
    history.live(make_lease(10))
    history.live(make_lease(9, attempt="u.1"))
    with pytest.raises(AssertionError) as caught:
        check_stores(tmp_path, NAME)
    assert str(history.path) in str(caught.value)
    assert str(sound.path) not in str(caught.value)


def test_a_store_that_is_not_there_is_no_proof(tmp_path):
    with pytest.raises(AssertionError, match="there is no store"):
        check_history(tmp_path / "none.sqlite")


def test_a_store_of_another_schema_has_nothing_to_prove(history, tmp_path):
    with sqlite3.connect(history.path) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    assert list(find_stores(tmp_path, NAME)) == []


def test_an_empty_file_or_one_without_tables_has_nothing_to_prove(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / NAME).touch()
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute("CREATE TABLE other (name TEXT)")
    assert list(find_stores(tmp_path, NAME)) == []


def test_a_file_that_is_no_database_any_more_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"SQLite format 3\0" + b"no database" * 100)
    with pytest.raises(AssertionError, match=rf"{NAME} is damaged:\nfile is not a database"):
        check_stores(tmp_path, NAME)


def test_a_store_with_a_damaged_page_is_named(history, tmp_path):
    history.live(history.run_task())
    history.store.close()
    with sqlite3.connect(history.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'tasks'").fetchone()
    content = bytearray(history.path.read_bytes())
    content[(root - 1) * page_size : root * page_size] = b"\xff" * page_size
    history.path.write_bytes(content)
    with pytest.raises(AssertionError, match=f"{NAME} is damaged:"):
        check_stores(tmp_path, NAME)
