"""Open leases, and the history of all leases, come back as they were written."""

import sqlite3

import pytest

from actors import lease_store
from actors.core.errors import StoreUnavailableError
from actors.core.lease_history import LeaseEvent, LeaseEventKind, PastLease, read_leases
from actors.lease_store import LeaseChange, LeaseHolder, LeaseStore, StoredLease
from actors.presence import Presence
from actors.store import SCHEMA_VERSION
from tests.unit.core.factories import make_request, make_scheduler, must_grant


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state" / "store.sqlite"


@pytest.fixture
def store(path):
    store = LeaseStore(f"sqlite:///{path}")
    yield store
    store.close()


@pytest.fixture
def lease():
    return must_grant(make_scheduler(), make_request("t.1", task_id="t"), now=100.0)


def opened(lease, *, at=100.0):
    return LeaseChange(leases=(StoredLease(lease, "session"),), events=(LeaseEvent.of(LeaseEventKind.GRANTED, lease, at=at),))


def closed(lease, *, at, cause="released"):
    return LeaseChange(closed=(lease.lease_id,), events=(LeaseEvent.of(LeaseEventKind.CLOSED, lease, at=at, cause=cause),))


def test_a_lease_comes_back_with_its_holder_and_its_token_counts_as_used(store, path, lease):
    holders = tuple(LeaseHolder("node", Presence(pid, 34.5)) for pid in (12, 13))
    stored = StoredLease(lease, "session", True, holders)
    store.write_leases(opened(lease))
    store.write_leases(LeaseChange(leases=(stored,)))
    again = LeaseStore(f"sqlite:///{path}")
    assert again.read_leases() == [stored]
    again.write_leases(closed(lease, at=101.0))
    assert again.read_leases() == []
    assert again.read_last_token() == lease.token


def test_the_group_of_a_holder_is_kept_and_rows_of_before_groups_can_be_read(store, path, lease):
    store.write_leases(LeaseChange(leases=(StoredLease(lease, "s", False, (LeaseHolder("node", Presence(12, 34.5, 12, 7)),)),)))
    presence = store.read_leases()[0].holders[0].presence
    assert (presence.group, presence.session) == (12, 7)
    with sqlite3.connect(path) as connection:
        connection.execute("""update leases set holder = '{"node_id": "node", "pid": 12, "created": 34.5}'""")
    presence = store.read_leases()[0].holders[0].presence
    assert (presence, presence.group) == (Presence(12, 34.5), 0)


def test_what_became_of_a_lease_can_be_read_after_its_end(store, path, lease):
    store.write_leases(opened(lease))
    store.write_leases(closed(lease, at=130.0, cause="expired"))
    events = LeaseStore(f"sqlite:///{path}").read_lease_events("t")
    assert [event.kind for event in events] == ["granted", "closed"]
    assert events[0] == LeaseEvent.of(LeaseEventKind.GRANTED, lease, at=100.0)
    past = PastLease(lease.lease_id, "t.1", lease.portions, granted_at=100.0, closed_at=130.0, cause="expired")
    assert read_leases(events) == (past,)
    assert store.read_lease_events("another") == []


def test_a_lease_and_what_is_told_of_it_are_written_together_or_not_at_all(store, lease):
    broken = LeaseEvent(None, LeaseEventKind.GRANTED, "l", 1, "t", "t.1", lease.request.holder, lease.portions)
    with pytest.raises(StoreUnavailableError):
        store.write_leases(LeaseChange(leases=(StoredLease(lease, "session"),), events=(broken,)))
    assert (store.read_leases(), store.read_last_token(), store.read_lease_events("t")) == ([], 0, [])


def test_the_oldest_events_go_where_they_are_too_many(store, path, lease, monkeypatch):
    monkeypatch.setattr(lease_store, "MOST_LEASE_EVENTS", 3)
    store.write_leases(opened(lease, at=0.0))
    for at in range(1, 5):
        store.write_leases(LeaseChange(events=(LeaseEvent.of(LeaseEventKind.ADOPTED, lease, at=float(at)),)))
    assert [event.at for event in store.read_lease_events("t")] == [2.0, 3.0, 4.0]


def test_a_store_of_before_the_history_keeps_its_open_leases_and_begins_one(store, path, lease):
    store.write_leases(opened(lease))
    store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE lease_events")
        connection.execute("UPDATE meta SET value = '4' WHERE name = 'schema_version'")
    migrated = LeaseStore(f"sqlite:///{path}")
    assert [stored.lease for stored in migrated.read_leases()] == [lease]
    assert migrated.read_last_token() == lease.token
    assert migrated.read_lease_events("t") == []
    assert migrated.read_note("schema_version") == str(SCHEMA_VERSION)
    migrated.write_leases(closed(lease, at=101.0))
    (past,) = read_leases(migrated.read_lease_events("t"))
    assert (past.granted_at, past.closed_at) == (None, 101.0)
