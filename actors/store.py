"""The durable truth: tasks, devices and limits, through SQLAlchemy.

SQLite in the state folder by default (write-ahead log, every commit synced to the disk before it counts), any database by URL. Each
table has one writer: the supervisor writes tasks and measured peaks, the accountant the rest; leases are ``lease_store``'s, keys and
the audit log ``access_store``'s, models ``registry.store``'s. A store written by a newer version is refused. Blocking; the supervisor
writes tasks through ``StoreWriter``, the accountant leases through ``LeaseWriter``; both commit in a thread of their own.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter
from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, inspect, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from actors import access_tables, tables
from actors.core.durations import DurationKey
from actors.core.errors import StoreUnavailableError
from actors.core.model import DeviceKind, WorkKind
from actors.core.tasks import Task
from actors.learning.memory_need import Peak, Workload
from actors.registry import tables as registry_tables
from actors.tables import put_row

#: Grows with every change of the tables; ``Store`` migrates older ones and refuses newer ones.
SCHEMA_VERSION = 5
#: A note that stands for a task's record while it is tried whether there is room for one.
_PROOF: Final = "proof_of_room"
_PROOF_CHARACTERS: Final = 16_384


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
            connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == "schema_version")).scalar_one()

    def prove_room(self) -> None:
        """Write as much as a task's record and take it away again: what a full disk refuses although it can still be read."""
        with self._transaction() as connection:
            put_row(connection, tables.meta, {"name": _PROOF}, {"value": "-" * _PROOF_CHARACTERS})
        with self._transaction() as connection:
            connection.execute(delete(tables.meta).where(tables.meta.c.name == _PROOF))

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
                put_row(connection, tables.tasks, {"task_id": task.task_id}, row)
            for task_id in forgotten:
                connection.execute(delete(tables.tasks).where(tables.tasks.c.task_id == task_id))

    def read_tasks(self) -> list[Task]:
        """All tasks, in the order of submission."""
        with self._transaction() as connection:
            rows = connection.execute(select(tables.tasks.c.record).order_by(tables.tasks.c.submitted_at, tables.tasks.c.task_id))
            return [_adapter(Task).validate_json(record) for (record,) in rows]

    # --- measured peaks ---

    def write_peak(self, peak: Peak) -> None:
        """Write what a training was seen to need; the last measurement of a workload counts."""
        with self._transaction() as connection:
            put_row(connection, tables.peaks, asdict(peak.workload), {"peak_bytes": peak.peak_bytes})

    def read_peaks(self) -> list[Peak]:
        """All measured peaks."""
        with self._transaction() as connection:
            rows = connection.execute(select(tables.peaks)).all()
        return [
            Peak(Workload(row.model, row.batch_size, row.image_size, bool(row.mixed_precision)), row.peak_bytes) for row in rows
        ]

    # --- devices and limits ---

    def write_note(self, name: str, value: str) -> None:
        """Keep a small fact under a name."""
        with self._transaction() as connection:
            put_row(connection, tables.meta, {"name": name}, {"value": value})

    def read_note(self, name: str) -> str | None:
        """A small fact that was kept, or None."""
        with self._transaction() as connection:
            return connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == name)).scalar_one_or_none()

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
            put_row(connection, tables.devices, {"device_id": stored.device_id}, row)

    def read_devices(self) -> list[StoredDevice]:
        """All devices that ever had an id."""
        with self._transaction() as connection:
            rows = connection.execute(select(tables.devices)).all()
        return [StoredDevice(row.device_id, DeviceKind(row.kind), row.node_name, row.node_id, row.device_index) for row in rows]

    def write_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> None:
        """Write limits that were set at run time, all or nothing."""
        with self._transaction() as connection:
            for device_id, by_work in limits.items():
                for work, most in by_work.items():
                    put_row(connection, tables.limits, {"device_id": device_id, "work": work.value}, {"most": most})

    def read_limits(self) -> dict[str, dict[WorkKind, int]]:
        """The limits that were set at run time, by device id."""
        limits: dict[str, dict[WorkKind, int]] = {}
        with self._transaction() as connection:
            for row in connection.execute(select(tables.limits)):
                limits.setdefault(row.device_id, {})[WorkKind(row.work)] = row.most
        return limits

    def _prepare(self) -> None:
        """Make the tables that are missing, and bring an older store up to date."""
        while True:
            present = self._present()
            _refuse_newer(present[1])  # before any table is made: SQLite takes none back that a refused start made
            try:
                with self._transaction() as connection:
                    tables.metadata.create_all(connection)
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
            return names, _read_version(connection) if tables.meta.name in names else None

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """One transaction, whose database errors come out as ours."""
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise _explain(error) from None


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
    """Note the version in a new store, and raise it in an older one.

    Version 2 added the table of measured peaks, version 3 those of keys and the audit log, version 4 those of the model
    registry, version 5 that of the leases' history. They are made like every missing table: nothing else is to be moved.
    """
    found = _read_version(connection)
    if found is None:
        connection.execute(insert(tables.meta).values(name="schema_version", value=str(SCHEMA_VERSION)))
    elif int(found) < SCHEMA_VERSION:
        put_row(connection, tables.meta, {"name": "schema_version"}, {"value": str(SCHEMA_VERSION)})


def _refuse_newer(found: str | None) -> None:
    """Leave a store alone that has another shape. Raises StoreUnavailableError."""
    if found is not None and int(found) > SCHEMA_VERSION:
        raise StoreUnavailableError(
            f"it was written by a newer version (schema {found}, this one knows {SCHEMA_VERSION}); update the service"
        )


def _read_version(connection: Connection) -> str | None:
    return connection.execute(select(tables.meta.c.value).where(tables.meta.c.name == "schema_version")).scalar_one_or_none()
