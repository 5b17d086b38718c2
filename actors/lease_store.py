"""Leases in the durable store: the open ones, and the history of all.

Written by the accountant alone. A lease and what is told of it change in one transaction, so that the history leaves nothing out and
tells of nothing that did not happen.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import Connection, delete, func, insert, select

from actors.core.lease_history import LeaseEvent, LeaseEventKind
from actors.core.model import HolderKind, Lease, Portion
from actors.presence import Presence
from actors.store import Store
from actors.tables import lease_events, leases, meta, put_row

#: The newest events that are kept; three or four tell of a lease.
MOST_LEASE_EVENTS: Final = 200_000


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """A process that uses a lease, and the node it runs on."""

    node_id: str
    presence: Presence


@dataclass(frozen=True, slots=True)
class StoredLease:
    """An open lease as written down: with Ray's session it was granted in, and the processes that use it, as far as they are up."""

    lease: Lease
    session: str
    is_ending: bool = False
    holders: tuple[LeaseHolder, ...] = ()


@dataclass(frozen=True, slots=True)
class LeaseChange:
    """What one step of the accountant does to the stored leases, all or nothing.

    Attributes:
        leases: open ones, in their new version.
        closed: the ids of those that are over.
        events: what is told of it, in order.
    """

    leases: tuple[StoredLease, ...] = ()
    closed: tuple[str, ...] = ()
    events: tuple[LeaseEvent, ...] = ()


class LeaseStore(Store):
    """The store, with leases. Blocking; every method is one transaction.

    Raises:
        StoreUnavailableError: from every method, where the database cannot be used.
    """

    def write_leases(self, change: LeaseChange) -> None:
        """Write open leases, forget closed ones and tell of both. A token counts as used once its lease was written."""
        with self._transaction() as connection:
            for stored in change.leases:
                put_row(connection, leases, {"lease_id": stored.lease.lease_id}, _row_of_lease(stored))
                if stored.lease.token > _read_last_token(connection):
                    put_row(connection, meta, {"name": "last_token"}, {"value": str(stored.lease.token)})
            for lease_id in change.closed:
                connection.execute(delete(leases).where(leases.c.lease_id == lease_id))
            if change.events:
                _append(connection, change.events)

    def read_leases(self) -> list[StoredLease]:
        """All open leases, in the order of their tokens."""
        with self._transaction() as connection:
            rows = connection.execute(select(leases.c.record, leases.c.session, leases.c.is_ending, leases.c.holder)).all()
        found = []
        for record, session, is_ending, holder_text in rows:
            lease = _lease_adapter().validate_json(record)
            found.append(StoredLease(lease, session, bool(is_ending), _read_holders(holder_text)))
        return sorted(found, key=lambda stored: stored.lease.token)

    def read_last_token(self) -> int:
        """The largest fencing token ever granted; 0 for none."""
        with self._transaction() as connection:
            return _read_last_token(connection)

    def read_lease_events(self, task_id: str) -> list[LeaseEvent]:
        """What is told of a task's leases, oldest first."""
        query = select(lease_events).where(lease_events.c.task_id == task_id).order_by(lease_events.c.seq)
        with self._transaction() as connection:
            rows = connection.execute(query).mappings().all()
        return [_read_event(dict(row)) for row in rows]


def _append(connection: Connection, events: Iterable[LeaseEvent]) -> None:
    """Add events at the new end, and let go of what is too many at the old one."""
    connection.execute(insert(lease_events), [_row_of_event(event) for event in events])
    newest = connection.execute(select(func.max(lease_events.c.seq))).scalar_one()
    connection.execute(delete(lease_events).where(lease_events.c.seq <= newest - MOST_LEASE_EVENTS))


def _row_of_event(event: LeaseEvent) -> dict[str, Any]:
    portions = json.dumps([asdict(portion) for portion in event.portions])
    return {name: getattr(event, name) for name in LeaseEvent.__dataclass_fields__} | {"portions": portions}


def _read_event(row: dict[str, Any]) -> LeaseEvent:
    del row["seq"]
    portions = tuple(Portion(**portion) for portion in json.loads(row["portions"]))
    return LeaseEvent(
        **row | {"kind": LeaseEventKind(row["kind"]), "holder": HolderKind(row["holder"]), "portions": portions},
    )


def _row_of_lease(stored: StoredLease) -> dict[str, Any]:
    return {
        "session": stored.session,
        "is_ending": int(stored.is_ending),
        "holder": json.dumps([asdict(holder) for holder in stored.holders]),
        "record": _lease_adapter().dump_json(stored.lease).decode(),
    }


def _read_holders(text: str) -> tuple[LeaseHolder, ...]:
    """The processes of a stored lease; schema 1 knew only one, with pid 0 for none."""
    found = json.loads(text)
    if isinstance(found, dict):
        found = (
            [{"node_id": found["node_id"], "presence": {"pid": found["pid"], "created": found["created"]}}] if found["pid"] else []
        )
    return tuple(LeaseHolder(holder["node_id"], Presence(**holder["presence"])) for holder in found)


def _read_last_token(connection: Connection) -> int:
    return int(connection.execute(select(meta.c.value).where(meta.c.name == "last_token")).scalar_one_or_none() or 0)


@cache
def _lease_adapter() -> TypeAdapter[Lease]:
    return TypeAdapter(Lease)
