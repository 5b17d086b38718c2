"""The tables of keys, of how often they changed, and of the audit log.

``Store`` makes them with its own; ``AccessStore`` reads and writes them.
"""

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, Text

metadata = MetaData()
versions = Table(
    "versions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Integer, nullable=False),
)
api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("role", String(16), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
)
audit = Table(
    "audit",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("entry_id", String(64), nullable=False, unique=True),
    Column("at", Float, nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("key_name", String(255), nullable=False),
    Column("address", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("status", Integer, nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, so a cursor stays right when old entries go
)
