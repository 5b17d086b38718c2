"""The tables of tasks, leases, devices, limits and measured peaks.

``Store`` makes them with those of keys and of models; ``Store`` and ``LeaseStore`` read and write them.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Float, Integer, MetaData, String, Table, Text, insert, update

metadata = MetaData()
meta = Table("meta", metadata, Column("name", String(255), primary_key=True), Column("value", Text, nullable=False))
tasks = Table(
    "tasks",
    metadata,
    Column("task_id", String(128), primary_key=True),
    Column("state", String(16), nullable=False, index=True),
    Column("submitted_at", Float, nullable=False),
    Column("record", Text, nullable=False),
)
leases = Table(
    "leases",
    metadata,
    Column("lease_id", String(64), primary_key=True),
    Column("session", String(128), nullable=False),
    Column("is_ending", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("record", Text, nullable=False),
)
lease_events = Table(
    "lease_events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("lease_id", String(64), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("task_id", String(255), nullable=False, index=True),
    Column("attempt_id", String(255), nullable=False),
    Column("holder", String(16), nullable=False),
    Column("portions", Text, nullable=False),
    Column("cause", String(32), nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, so that what was cut off at the old end can be seen
)
devices = Table(
    "devices",
    metadata,
    Column("device_id", String(32), primary_key=True),
    Column("kind", String(8), nullable=False),
    Column("node_name", String(255), nullable=False),
    Column("node_id", String(128), nullable=False),
    Column("device_index", Integer, nullable=False),
)
limits = Table(
    "limits",
    metadata,
    Column("device_id", String(32), primary_key=True),
    Column("work", String(32), primary_key=True),
    Column("most", Integer, nullable=False),
)
peaks = Table(
    "memory_peaks",
    metadata,
    Column("model", String(64), primary_key=True),
    Column("batch_size", Integer, primary_key=True),
    Column("image_size", Integer, primary_key=True),
    Column("mixed_precision", Integer, primary_key=True),
    Column("peak_bytes", BigInteger, nullable=False),
)


def put_row(connection: Connection, table: Table, key: Mapping[str, Any], row: Mapping[str, Any]) -> None:
    """Insert or replace one row, in words that every database understands."""
    condition = [table.c[name] == value for name, value in key.items()]
    if connection.execute(update(table).where(*condition).values(**row)).rowcount == 0:
        connection.execute(insert(table).values(**key, **row))
