"""Keys and the audit log in the durable store.

Written by the gatekeeper and by ``rfuav keys``, which must work while no service runs. So every change of keys is one transaction that
raises the version first: it takes the store's lock, and two changes come one after the other whichever process makes them.
"""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, func, insert, select

from actors.access import ApiKey, AuditEntry, AuditPage, KeyTable, Role
from actors.access_tables import api_keys, audit
from actors.core.errors import KeyNotFoundError, LastAdminKeyError
from actors.revisions import raise_revision, read_revision
from actors.store import Store

_KEYS = "keys"


class AccessStore(Store):
    """The store, with keys and audit entries. Blocking; every method is one transaction.

    Raises:
        StoreUnavailableError: from every method, where the database cannot be used.
    """

    def keys_version(self) -> int:
        """How often the keys were changed so far."""
        with self._transaction() as connection:
            return read_revision(connection, _KEYS)

    def read_keys(self) -> KeyTable:
        """All keys. The version is read first: a change in between makes it look too old, never too new."""
        version = self.keys_version()
        with self._transaction() as connection:
            rows = connection.execute(select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id)).all()
        keys = [ApiKey(row.key_id, row.name, Role(row.role), row.digest, row.created_at) for row in rows]
        return KeyTable(version, {key.key_id: key for key in keys})

    def add_key(self, key: ApiKey) -> None:
        """Keep a new key."""
        with self._transaction() as connection:
            raise_revision(connection, _KEYS)
            connection.execute(insert(api_keys).values(**asdict(key)))

    def revoke_key(self, key_id: str, *, may_be_last_admin: bool = False) -> ApiKey:
        """Delete a key and return what it was.

        Raises:
            KeyNotFoundError: there is none of this id.
            LastAdminKeyError: it is the last admin key, and that was not asked for.
        """
        with self._transaction() as connection:
            raise_revision(connection, _KEYS)
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).one_or_none()
            if row is None:
                raise KeyNotFoundError(key_id)
            admins = connection.execute(select(func.count()).where(api_keys.c.role == Role.ADMIN.value)).scalar_one()
            if row.role == Role.ADMIN and admins == 1 and not may_be_last_admin:
                raise LastAdminKeyError(key_id)
            connection.execute(delete(api_keys).where(api_keys.c.key_id == key_id))
        return ApiKey(row.key_id, row.name, Role(row.role), row.digest, row.created_at)

    def write_audit(self, entries: Sequence[AuditEntry], *, most: int) -> None:
        """Keep entries; those that are there already are left as they are, and all but the newest ``most`` go."""
        with self._transaction() as connection:
            ids = [entry.entry_id for entry in entries]
            known = set(connection.execute(select(audit.c.entry_id).where(audit.c.entry_id.in_(ids))).scalars())
            rows = [asdict(entry) for entry in entries if entry.entry_id not in known]
            if rows:
                connection.execute(insert(audit), rows)
                newest = connection.execute(select(func.max(audit.c.seq))).scalar_one()
                connection.execute(delete(audit).where(audit.c.seq <= newest - most))

    def read_audit(self, *, before: int | None, limit: int) -> AuditPage:
        """Entries, newest first; those with a number below ``before`` where one is given."""
        query = select(audit).order_by(audit.c.seq.desc()).limit(limit + 1)
        if before is not None:
            query = query.where(audit.c.seq < before)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
        names = AuditEntry.__dataclass_fields__
        entries = tuple(AuditEntry(**{name: getattr(row, name) for name in names}) for row in rows[:limit])
        return AuditPage(entries, rows[limit - 1].seq if len(rows) > limit else None)
