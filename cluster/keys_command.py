"""``rfuav keys``: API keys made, listed and revoked in the store itself, whether a service runs on it or not.

Whoever may write the state folder may do this: it is how the first key comes about, and the way back in when all are lost. A running
service learns of it within a second. Knows nothing of HTTP and Ray.
"""

import time
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from actors.access import ApiKey, AuditEntry, NewKey, Role, mint_key, new_entry_id
from actors.access_store import AccessStore
from cluster.run_record import read_record
from configs.settings import Settings

_MOST_NAME = 100


class KeyNameError(ValueError):
    """A name that no key can have."""


def has_keys(settings: Settings) -> bool:
    """Whether the service has any key. Makes no store where there is none."""
    if not settings.store_url and not (settings.state_dir / "store.sqlite").exists():
        return False
    return bool(list_keys(settings))


def add_key(settings: Settings, *, name: str, role: Role) -> NewKey:
    """Make a key.

    Raises:
        KeyNameError: the name is empty, too long, or holds control characters.
        StoreUnavailableError, OSError: the store cannot be written.
    """
    name = name.strip()
    if not name.isprintable() or not 0 < len(name) <= _MOST_NAME:
        raise KeyNameError(f"{name!r} is no name for a key; give 1 to {_MOST_NAME} printable characters with --name")
    new = mint_key(name, role, now=time.time())
    with closing(AccessStore(settings.database_url)) as store:
        store.add_key(new.key)
        _note(store, settings, "add_key", new.key)
    return new


def list_keys(settings: Settings) -> list[ApiKey]:
    """All keys, oldest first. Raises StoreUnavailableError, OSError."""
    with closing(AccessStore(settings.database_url)) as store:
        return list(store.read_keys().keys.values())


def revoke_key(settings: Settings, key_id: str) -> int:
    """Take a key back, the last admin's too, and return how many are left.

    Raises:
        KeyNotFoundError: there is none of this id.
        StoreUnavailableError, OSError: the store cannot be written.
    """
    with closing(AccessStore(settings.database_url)) as store:
        key = store.revoke_key(key_id, may_be_last_admin=True)
        _note(store, settings, "revoke_key", key)
        return len(store.read_keys().keys)


def as_fields(key: ApiKey) -> dict[str, Any]:
    """A key for scripts, as GET /api/v2/keys tells it."""
    created_at = datetime.fromtimestamp(key.created_at, UTC).isoformat()
    return {"key_id": key.key_id, "name": key.name, "role": key.role.value, "created_at": created_at}


def without_keys(settings: Settings) -> str:
    """Whom a service answers that has no keys, for people."""
    record = read_record(settings.state_dir)
    if "several" in (settings.nodes, record.nodes if record else ""):
        return "a service of several nodes answers nobody without keys; `rfuav keys add` makes one"
    return "the service answers only on this machine, and needs none there"


def describe(keys: list[ApiKey], settings: Settings) -> list[str]:
    """The lines of a table for people."""
    if not keys:
        return [f"no keys: {without_keys(settings)}"]
    return [
        f"{key.key_id}  {key.role.value:8}  {time.strftime('%Y-%m-%d', time.localtime(key.created_at))}  {key.name}" for key in keys
    ]


def _note(store: AccessStore, settings: Settings, action: str, key: ApiKey) -> None:
    """Put the change into the audit log."""
    entry = AuditEntry(new_entry_id(), time.time(), "", "command line", "", action, str(key), 200)
    store.write_audit([entry], most=settings.audit_entries)
