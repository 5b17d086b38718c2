"""The rules that every history must keep, proved from what a store says after the fact.

Reads the rows themselves and knows nothing of the code that wrote them: a mistake there cannot hide itself here. ``check_history`` reads
one store, ``find_stores`` the ones that a test run left behind.

The rules: a task makes legal moves only, and is where its last one led. Fencing tokens only grow. A lease is granted once, never again
after its end, and never lives on after its close. No attempt holds two leases at one time. On no device do the open leases take more
than the task share. What is open is what the history says is open, and no lease outlives its task for long.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DatabaseError

#: What may follow what, in the words of the records.
MOVES: Mapping[str | None, frozenset[str]] = {
    None: frozenset({"pending"}),
    "pending": frozenset({"queued", "running", "failed", "cancelled"}),
    "queued": frozenset({"running", "failed", "cancelled"}),
    "running": frozenset({"queued", "completed", "failed", "cancelled"}),
    "completed": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
FINAL = frozenset(state for state, after in MOVES.items() if not after)
#: The part of a device that leases may use together, in ten-thousandths, by the kind in its id.
TASK_SHARES = {"cuda": 7_500, "cpu": 8_000}
WHOLE = 10_000
#: The schema whose tables are read here; a store of another one has no history that could be read.
SCHEMA = "5"
#: What the store's file is called in a state folder.
STORE_NAME = "store.sqlite"
#: How every file of SQLite begins.
_MAGIC = b"SQLite format 3\0"
#: A lease may stay open for so long after its task's end: its process is still to go, and its memory to come back.
OUTLIVE_S = 60.0


@dataclass(slots=True)
class _Lease:
    """A lease as its events tell it so far."""

    lease_id: str
    token: int
    attempt_id: str
    task_id: str
    holder: str
    portions: Sequence[Mapping[str, Any]]
    is_open: bool = True


@dataclass(slots=True)
class _Walk:
    """The state of a walk along the events: what is open, what each device carries, and what was found to be wrong."""

    leases: dict[str, _Lease] = field(default_factory=dict)
    held: dict[str, int] = field(default_factory=dict)
    open_attempts: dict[str, str] = field(default_factory=dict)
    first_token: int | None = None
    last_token: int = 0
    wrong: list[str] = field(default_factory=list)


def check_history(store: str | Path, *, is_settled: bool = False) -> None:
    """Prove that everything a store tells of could have happened, and that its file is whole.

    Args:
        store: a store's URL, its file, or the state folder that it lies in.
        is_settled: nothing is under way any more: every task must have ended, and no lease be open.

    Raises:
        AssertionError: names the store and everything that is wrong in it, or says that there is none.
    """
    with _connect(store) as connection:
        _check_file(connection, store)
        tasks = [(row.task_id, row.state, json.loads(row.record)) for row in _rows(connection, "tasks")]
        events = [dict(row._mapping) for row in _rows(connection, "lease_events", "seq")]
        open_rows = {row.lease_id: json.loads(row.record) for row in _rows(connection, "leases")}
        last_token = connection.execute(text("SELECT value FROM meta WHERE name = 'last_token'")).scalar_one_or_none()
    wrong = [each for task in tasks for each in _check_task(*task)]
    walk = _walk(events)
    wrong += walk.wrong
    wrong += _check_open(walk, open_rows, int(last_token or 0), has_events=bool(events))
    wrong += _check_ends(tasks, walk, _last_moment(tasks, events), is_settled=is_settled)
    if wrong:
        raise AssertionError("\n".join([f"the history in {store} breaks {len(wrong)} rules:", *wrong]))


def find_stores(folder: Path, name: str = STORE_NAME) -> Iterator[Path]:
    """The stores below a folder that have a history of this schema, or that are damaged, so that nobody knows what they had."""
    for path in sorted(folder.rglob(name)):
        if path.is_file() and _may_have_history(path):
            yield path


def check_stores(folder: Path, name: str = STORE_NAME) -> int:
    """Check every store below a folder; returns how many there were.

    Raises:
        AssertionError: names every store whose history breaks a rule, and the rules.
    """
    found, wrong = 0, []
    for path in find_stores(folder, name):
        found += 1
        try:
            check_history(path)
        except AssertionError as error:
            wrong.append(str(error))
    if wrong:
        raise AssertionError("\n\n".join(wrong))
    return found


# --- tasks ---


def _check_task(task_id: str, state: str, record: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong in the record of one task."""
    before = None
    for change in record["history"]:
        if change["before"] != before or change["after"] not in MOVES[before]:
            yield f"task {task_id}: {change['before']} -> {change['after']} after {before}"
        before = change["after"]
    if not before == record["state"] == state:
        yield f"task {task_id}: its row says {state}, its record {record['state']}, its history {before}"
    if (record.get("lease") is not None) != (record["state"] == "running"):
        yield f"task {task_id}: is {record['state']} with the lease {record.get('lease')}"


# --- leases ---


def _walk(events: Iterable[Mapping[str, Any]]) -> _Walk:
    """Follow the events in their order."""
    walk = _Walk()
    for event in events:
        known = walk.leases.get(event["lease_id"])
        if event["kind"] == "granted":
            walk.wrong += _check_grant(walk, event, known)
            _open(walk, event)
        elif known is None:
            walk.wrong += _check_unknown(walk, event)
            if event["kind"] == "adopted":
                _open(walk, event)
        else:
            walk.wrong += _check_step(event, known)
            if event["kind"] == "closed" and known.is_open:
                _close(walk, known)
    return walk


def _check_grant(walk: _Walk, event: Mapping[str, Any], known: _Lease | None) -> Iterator[str]:
    if known is not None:
        yield f"event {event['seq']}: {event['lease_id']} is granted a second time"
    if event["token"] <= walk.last_token:
        yield f"event {event['seq']}: {event['lease_id']} has token {event['token']} after {walk.last_token}"
    walk.first_token = event["token"] if walk.first_token is None else walk.first_token
    walk.last_token = max(walk.last_token, event["token"])


def _check_unknown(walk: _Walk, event: Mapping[str, Any]) -> Iterator[str]:
    """A lease without a grant is one of before the history begins, so its token is smaller than any that is granted in it."""
    if walk.first_token is not None and event["token"] >= walk.first_token:
        yield f"event {event['seq']}: {event['lease_id']} is {event['kind']} and was never granted"


def _check_step(event: Mapping[str, Any], known: _Lease) -> Iterator[str]:
    if not known.is_open:
        yield f"event {event['seq']}: {event['lease_id']} is {event['kind']} after its close"
    told = (event["token"], event["attempt_id"], event["task_id"], json.loads(event["portions"]))
    if told != (known.token, known.attempt_id, known.task_id, known.portions):
        yield f"event {event['seq']}: {event['lease_id']} is another lease than was granted"


def _open(walk: _Walk, event: Mapping[str, Any]) -> None:
    """Enter a lease, and look at what the attempt and the devices carry now."""
    names = ("lease_id", "token", "attempt_id", "task_id", "holder")
    lease = _Lease(**{name: event[name] for name in names}, portions=json.loads(event["portions"]))
    walk.leases[lease.lease_id] = lease
    other = walk.open_attempts.setdefault(lease.attempt_id, lease.lease_id)
    if other != lease.lease_id:
        walk.wrong.append(f"event {event['seq']}: {lease.attempt_id} gets {lease.lease_id} and holds {other}")
    for portion in lease.portions:
        device_id = portion["device_id"]
        walk.held[device_id] = walk.held.get(device_id, 0) + portion["units"]
        share = TASK_SHARES.get(device_id.partition(":")[0], WHOLE)
        if walk.held[device_id] > share:
            walk.wrong.append(
                f"event {event['seq']}: {lease.lease_id} brings {device_id} to {walk.held[device_id]} of {share} units"
            )


def _close(walk: _Walk, lease: _Lease) -> None:
    lease.is_open = False
    if walk.open_attempts.get(lease.attempt_id) == lease.lease_id:
        del walk.open_attempts[lease.attempt_id]
    for portion in lease.portions:
        walk.held[portion["device_id"]] -= portion["units"]


def _check_open(walk: _Walk, rows: Mapping[str, Any], last_token: int, *, has_events: bool) -> Iterator[str]:
    """Compare the open leases with those that the history leaves open, and the last token with the largest."""
    told = {lease_id for lease_id, lease in walk.leases.items() if lease.is_open}
    for lease_id in sorted(told - rows.keys()):
        yield f"{lease_id} is open by its history and not kept as open"
    for lease_id in sorted(rows.keys() - told):
        if lease_id in walk.leases or (has_events and walk.first_token is not None and rows[lease_id]["token"] >= walk.first_token):
            yield f"{lease_id} is kept as open, and its history does not say so"
    if last_token < walk.last_token:
        yield f"the last token is kept as {last_token}, {walk.last_token} was granted"


# --- both ---


def _check_ends(tasks: Sequence[tuple[str, str, Any]], walk: _Walk, last: float, *, is_settled: bool) -> Iterator[str]:
    """No lease of an attempt outlives its task for long; in what is settled nothing is open at all."""
    finished = {task_id: record["finished_at"] for task_id, state, record in tasks if state in FINAL}
    for lease in walk.leases.values():
        if not lease.is_open:
            continue
        if is_settled:
            yield f"{lease.lease_id} of {lease.attempt_id} is still open"
        elif lease.holder == "attempt" and last - finished.get(lease.task_id, last) > OUTLIVE_S:
            yield f"{lease.lease_id} of {lease.attempt_id} is open {last - finished[lease.task_id]:.0f} s after the end of its task"
    if is_settled:
        for task_id, state, _ in tasks:
            if state not in FINAL:
                yield f"task {task_id} is still {state}"


def _last_moment(tasks: Sequence[tuple[str, str, Any]], events: Sequence[Mapping[str, Any]]) -> float:
    return max([0.0, *(record["updated_at"] for *_, record in tasks), *(event["at"] for event in events)])


# --- the store ---


@contextmanager
def _connect(store: str | Path) -> Iterator[Connection]:
    """Open a store for reading; nothing in it is changed."""
    if "://" not in str(store):
        path = Path(store) / STORE_NAME if Path(store).is_dir() else Path(store)
        store = f"sqlite:///{path.absolute()}"
    url = make_url(str(store))
    if url.get_backend_name() == "sqlite":
        if not Path(str(url.database)).is_file():
            raise AssertionError(f"there is no store at {url.database}")
        url = url.set(database=f"file:{url.database}").update_query_dict({"mode": "ro", "uri": "true"})
    with create_engine(url, poolclass=NullPool).connect() as connection:
        yield connection


def _rows(connection: Connection, table: str, order: str = "1") -> Sequence[Any]:
    return connection.execute(text(f"SELECT * FROM {table} ORDER BY {order}")).all()  # noqa: S608 - names of this file


def _check_file(connection: Connection, store: str | Path) -> None:
    """Raise an AssertionError where a file of SQLite is damaged."""
    if connection.dialect.name != "sqlite":
        return
    try:
        told = [str(row[0]) for row in connection.execute(text("PRAGMA quick_check")).all()]
    except DatabaseError as error:
        told = [str(error.orig)]
    if told != ["ok"]:
        raise AssertionError("\n".join([f"the store {store} is damaged:", *told]))


def _may_have_history(path: Path) -> bool:
    """False where a file never was a database, or says that it has another schema, or none."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:  # empty, or made up by a test
            return False
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone()
    except sqlite3.DatabaseError as error:
        return not (isinstance(error, sqlite3.OperationalError) and "no such table" in str(error))
    return row is not None and row[0] == SCHEMA
