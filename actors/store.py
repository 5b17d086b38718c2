"""The durable truth: tasks, leases, devices and limits, through SQLAlchemy.

SQLite in the state folder by default (write-ahead log, every commit synced to the disk before it counts), any database by URL. Each
table has one writer: the supervisor writes tasks and measured peaks, the accountant the rest; keys and the audit log are
``access_store``'s, models ``registry.store``'s. A store written by a newer version is
refused. Blocking; the supervisor writes tasks through ``StoreWriter``, which commits in a thread of its own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from actors import access_tables
from actors.core.durations import DurationKey
from actors.core.errors import StoreUnavailableError
from actors.core.model import DeviceKind, Lease, WorkKind
from actors.core.tasks import Task
from actors.learning.memory_need import Peak, Workload
from actors.presence import Presence
from actors.registry import tables as registry_tables

#: Grows with every change of the tables; ``Store`` migrates older ones and refuses newer ones.
SCHEMA_VERSION = 4
#: A note that stands for a task's record while it is tried whether there is room for one.
_PROOF: Final = "proof_of_room"
_PROOF_CHARACTERS: Final = 16_384

_metadata = MetaData()
_meta = Table("meta", _metadata, Column("name", String(255), primary_key=True), Column("value", Text, nullable=False))
_tasks = Table(
    "tasks",
    _metadata,
    Column("task_id", String(128), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("submitted_at", Float, nullable=False),
    Column("record", Text, nullable=False),
)
_leases = Table(
    "leases",
    _metadata,
    Column("lease_id", String(64), primary_key=True),
    Column("session", String(128), nullable=False),
    Column("is_ending", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("record", Text, nullable=False),
)
_devices = Table(
    "devices",
    _metadata,
    Column("device_id", String(32), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("node_name", String(255), nullable=False),
    Column("node_id", String(128), nullable=False),
    Column("device_index", Integer, nullable=False),
)
_limits = Table(
    "limits",
    _metadata,
    Column("device_id", String(32), primary_key=True),
    Column("work", String(32), primary_key=True),
    Column("most", Integer, nullable=False),
)
_peaks = Table(
    "memory_peaks",
    _metadata,
    Column("model", String(64), primary_key=True),
    Column("batch_size", Integer, primary_key=True),
    Column("image_size", Integer, primary_key=True),
    Column("mixed_precision", Integer, primary_key=True),
    Column("peak_bytes", BigInteger, nullable=False),
)


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
class StoredDevice:
    """Which device has which id: given once, and kept over restarts of Ray."""

    device_id: str
    kind: DeviceKind
    node_name: str
    node_id: str
    index: int


class Store:
    """One connection pool to the durable store; every method is one transaction.

    Raises:
        StoreUnavailableError: from every method, where the database cannot be used (a full disk, no rights, a lost connection).
    """

    def __init__(self, url: str) -> None:
        self._engine = _open_engine(url)
        self._prepare()

    def ping(self) -> None:
        """Read one row."""
        with self._transaction() as connection:
            connection.execute(select(_meta.c.value).where(_meta.c.name == "schema_version")).scalar_one()

    def prove_room(self) -> None:
        """Write as much as a task's record and take it away again: what a full disk refuses although it can still be read."""
        with self._transaction() as connection:
            _put(connection, _meta, {"name": _PROOF}, {"value": "-" * _PROOF_CHARACTERS})
        with self._transaction() as connection:
            connection.execute(delete(_meta).where(_meta.c.name == _PROOF))

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    # --- tasks ---

    def write_tasks(self, tasks: Iterable[Task], forgotten: Iterable[str] = ()) -> None:
        """Write the given versions of tasks and delete the forgotten ones, all or nothing."""
        with self._transaction() as connection:
            for task in tasks:
                record = _adapter(Task).dump_json(task).decode()
                row = {"state": task.state.value, "submitted_at": task.submitted_at, "record": record}
                _put(connection, _tasks, {"task_id": task.task_id}, row)
            for task_id in forgotten:
                connection.execute(delete(_tasks).where(_tasks.c.task_id == task_id))

    def read_tasks(self) -> list[Task]:
        """All tasks, in the order of submission."""
        with self._transaction() as connection:
            rows = connection.execute(select(_tasks.c.record).order_by(_tasks.c.submitted_at, _tasks.c.task_id))
            return [_adapter(Task).validate_json(record) for (record,) in rows]

    # --- measured peaks ---

    def write_peak(self, peak: Peak) -> None:
        """Write what a training was seen to need; the last measurement of a workload counts."""
        with self._transaction() as connection:
            _put(connection, _peaks, asdict(peak.workload), {"peak_bytes": peak.peak_bytes})

    def read_peaks(self) -> list[Peak]:
        """All measured peaks."""
        with self._transaction() as connection:
            rows = connection.execute(select(_peaks)).all()
        return [
            Peak(Workload(row.model, row.batch_size, row.image_size, bool(row.mixed_precision)), row.peak_bytes) for row in rows
        ]

    # --- leases ---

    def write_leases(self, leases: Iterable[StoredLease], closed: Iterable[str] = ()) -> None:
        """Write open leases and forget closed ones, all or nothing. A token counts as used once its lease was written."""
        with self._transaction() as connection:
            for stored in leases:
                _put(connection, _leases, {"lease_id": stored.lease.lease_id}, _row_of_lease(stored))
                if stored.lease.token > _read_last_token(connection):
                    _put(connection, _meta, {"name": "last_token"}, {"value": str(stored.lease.token)})
            for lease_id in closed:
                connection.execute(delete(_leases).where(_leases.c.lease_id == lease_id))

    def read_leases(self) -> list[StoredLease]:
        """All open leases, in the order of their tokens."""
        with self._transaction() as connection:
            rows = connection.execute(select(_leases.c.record, _leases.c.session, _leases.c.is_ending, _leases.c.holder)).all()
        leases = []
        for record, session, is_ending, holder_text in rows:
            lease = _adapter(Lease).validate_json(record)
            leases.append(StoredLease(lease, session, bool(is_ending), _read_holders(holder_text)))
        return sorted(leases, key=lambda stored: stored.lease.token)

    def read_last_token(self) -> int:
        """The largest fencing token ever granted; 0 for none."""
        with self._transaction() as connection:
            return _read_last_token(connection)

    # --- devices and limits ---

    def write_note(self, name: str, value: str) -> None:
        """Keep a small fact under a name."""
        with self._transaction() as connection:
            _put(connection, _meta, {"name": name}, {"value": value})

    def read_note(self, name: str) -> str | None:
        """A small fact that was kept, or None."""
        with self._transaction() as connection:
            return connection.execute(select(_meta.c.value).where(_meta.c.name == name)).scalar_one_or_none()

    def write_durations(self, durations: Iterable[tuple[DurationKey, Iterable[float]]]) -> None:
        """Keep how long work took, by what is alike."""
        rows = [[*key, list(seen)] for key, seen in durations]
        self.write_note("durations", json.dumps(rows))

    def read_durations(self) -> dict[DurationKey, list[float]]:
        """How long work took before."""
        rows = json.loads(self.read_note("durations") or "[]")
        return {DurationKey(DeviceKind(kind), WorkKind(work), profile): seen for kind, work, profile, seen in rows}

    def write_device(self, stored: StoredDevice) -> None:
        """Write which device an id belongs to."""
        row = {
            "kind": stored.kind.value,
            "node_name": stored.node_name,
            "node_id": stored.node_id,
            "device_index": stored.index,
        }
        with self._transaction() as connection:
            _put(connection, _devices, {"device_id": stored.device_id}, row)

    def read_devices(self) -> list[StoredDevice]:
        """All devices that ever had an id."""
        with self._transaction() as connection:
            rows = connection.execute(select(_devices)).all()
        return [StoredDevice(row.device_id, DeviceKind(row.kind), row.node_name, row.node_id, row.device_index) for row in rows]

    def write_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> None:
        """Write limits that were set at run time, all or nothing."""
        with self._transaction() as connection:
            for device_id, by_work in limits.items():
                for work, most in by_work.items():
                    _put(connection, _limits, {"device_id": device_id, "work": work.value}, {"most": most})

    def read_limits(self) -> dict[str, dict[WorkKind, int]]:
        """The limits that were set at run time, by device id."""
        limits: dict[str, dict[WorkKind, int]] = {}
        with self._transaction() as connection:
            for row in connection.execute(select(_limits)):
                limits.setdefault(row.device_id, {})[WorkKind(row.work)] = row.most
        return limits

    def _prepare(self) -> None:
        """Make the tables that are missing, and bring an older store up to date."""
        while True:
            present = self._present()
            try:
                with self._transaction() as connection:
                    _metadata.create_all(connection)
                    access_tables.metadata.create_all(connection)
                    registry_tables.metadata.create_all(connection)
                    _settle_version(connection)
            except StoreUnavailableError:
                # Another process that opens the store just now may have been first with a part; then the rest is tried again.
                if self._present() == present:
                    raise
            else:
                return

    def _present(self) -> tuple[list[str], str | None]:
        """The tables that there are, and the version that they are said to have."""
        with self._transaction() as connection:
            names = sorted(inspect(connection).get_table_names())
            return names, _read_version(connection) if _meta.name in names else None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One transaction, whose database errors come out as ours."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _explain(error) from None


def _row_of_lease(stored: StoredLease) -> dict[str, Any]:
    return {
        "session": stored.session,
        "is_ending": int(stored.is_ending),
        "holder": json.dumps([asdict(holder) for holder in stored.holders]),
        "record": _adapter(Lease).dump_json(stored.lease).decode(),
    }


def _read_holders(text: str) -> tuple[LeaseHolder, ...]:
    """The processes of a stored lease; schema 1 knew only one, with pid 0 for none."""
    found = json.loads(text)
    if isinstance(found, dict):
        found = (
            [{"node_id": found["node_id"], "presence": {"pid": found["pid"], "created": found["created"]}}] if found["pid"] else []
        )
    return tuple(LeaseHolder(holder["node_id"], Presence(**holder["presence"])) for holder in found)


def _explain(error: SQLAlchemyError) -> StoreUnavailableError:
    return StoreUnavailableError(str(getattr(error, "orig", None) or error))


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _open_engine(url: str) -> Engine:
    parsed = make_url(url)
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database
    if is_file:
        Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed)
    if is_file:
        event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _settle_version(connection: Connection) -> None:
    """Note the version in a new store, raise it in an older one, refuse a newer one.

    Version 2 added the table of measured peaks, version 3 those of keys and the audit log, version 4 those of the model
    registry. They are made like every missing table: nothing else is to be moved.
    """
    found = _read_version(connection)
    if found is None:
        connection.execute(insert(_meta).values(name="schema_version", value=str(SCHEMA_VERSION)))
    elif int(found) > SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"it was written by a newer version (schema {found}, this one knows {SCHEMA_VERSION}); update the service"
        )
    elif int(found) < SCHEMA_VERSION:
        _put(connection, _meta, {"name": "schema_version"}, {"value": str(SCHEMA_VERSION)})


def _read_version(connection: Connection) -> str | None:
    return connection.execute(select(_meta.c.value).where(_meta.c.name == "schema_version")).scalar_one_or_none()


def _read_last_token(connection: Connection) -> int:
    return int(connection.execute(select(_meta.c.value).where(_meta.c.name == "last_token")).scalar_one_or_none() or 0)


def _put(connection: Connection, table: Table, key: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Insert or replace one row, in words that every database understands."""
    condition = [table.c[name] == value for name, value in key.items()]
    if connection.execute(update(table).where(*condition).values(**row)).rowcount == 0:
        connection.execute(insert(table).values(**key, **row))
