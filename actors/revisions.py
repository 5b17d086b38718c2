"""How often something in the durable store was changed: a number for each kind of thing, which grows with every change.

Owns the counting. Whoever watches the store compares numbers instead of contents.
"""

from sqlalchemy import Connection, insert, select, update

from actors.access_tables import versions


def raise_revision(connection: Connection, name: str) -> None:
    """Count one change more. A write before any read: it takes the lock, and nobody else changes the same until this transaction ends."""
    if connection.execute(update(versions).where(versions.c.name == name).values(value=versions.c.value + 1)).rowcount == 0:
        connection.execute(insert(versions).values(name=name, value=1))


def read_revision(connection: Connection, name: str) -> int:
    """How many changes there were so far."""
    return connection.execute(select(versions.c.value).where(versions.c.name == name)).scalar_one_or_none() or 0
