"""Who may do what: roles, API keys, and the entries of the audit log.

Owns how a key looks, how it is made and how one is recognised. It must not know where keys are kept (``access_store``), who hands them
out (``gatekeeper``), or that HTTP exists.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

_PREFIX: Final = "rfuav"
_ID_BYTES: Final = 4
_SECRET_BYTES: Final = 32
#: Compared with where no key has the given id, so that both ways take the same time.
_NO_DIGEST: Final = "0" * 64


class Role(StrEnum):
    """What a key may do; each role may do everything that the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what ``needed`` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(needed)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as it is kept: its digest, never the key.

    Attributes:
        key_id: the readable part, by which people speak of the key.
        name: whose it is, or what for.
        role: what it may do.
        digest: SHA-256 of the whole token, in hexadecimal.
        created_at: seconds since the epoch.
    """

    key_id: str
    name: str
    role: Role
    digest: str = field(repr=False)
    created_at: float

    def __str__(self) -> str:
        """The key as the audit log names it, also when it is gone."""
        return f"{self.key_id} ({self.role} {self.name})"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; ``token`` is shown once and then known to its owner alone."""

    key: ApiKey
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyTable:
    """All keys as of one version; the version grows with every change."""

    version: int
    keys: Mapping[str, ApiKey]

    def find(self, token: str) -> ApiKey | None:
        """The key that a token is, or None. Takes the same time for every wrong secret."""
        key = self.keys.get(_id_of(token))
        is_right = hmac.compare_digest(_digest(token), key.digest if key else _NO_DIGEST)
        return key if is_right else None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change that somebody asked for.

    Attributes:
        entry_id: made by whoever writes the entry down first; the same entry may be handed over twice.
        at: seconds since the epoch.
        key_id: of the key that was used; "" without one.
        key_name: of the same key; "local" for this machine's users without keys, "command line" for ``rfuav keys``.
        address: where the request came from.
        action: what was asked for: submit, cancel, set_limits, ...
        subject: the task, device, key or path that it was about.
        status: of the HTTP answer.
    """

    entry_id: str
    at: float
    key_id: str
    key_name: str
    address: str
    action: str
    subject: str
    status: int


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Entries, newest first; ``next_cursor`` is None on the last page."""

    entries: tuple[AuditEntry, ...]
    next_cursor: int | None


# What the gatekeeper can be asked for.


@dataclass(frozen=True, slots=True)
class WatchKeys:
    """All keys, as soon as their version is another than ``version`` (-1: at once), after ``wait_s`` at the latest."""

    version: int = -1
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AddKey:
    """A new key."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class RevokeKey:
    """The end of a key; the last admin's is refused."""

    key_id: str


@dataclass(frozen=True, slots=True)
class WriteAudit:
    """Entries to keep. May be repeated."""

    entries: tuple[AuditEntry, ...]


@dataclass(frozen=True, slots=True)
class ReadAudit:
    """A page of entries: newest first, those before ``cursor``."""

    cursor: int | None
    limit: int


GateQuestion = WatchKeys | AddKey | RevokeKey | WriteAudit | ReadAudit


def mint_key(name: str, role: Role, *, now: float) -> NewKey:
    """Make a key: ``rfuav_<id>_<secret>`` with 32 random bytes as its secret.

    What is kept is one round of SHA-256. Slow, salted hashes protect passwords, which people choose and others can guess; 256 random
    bits cannot be guessed at any speed, and a slow hash would only slow down every request.
    """
    key_id = secrets.token_hex(_ID_BYTES)
    token = f"{_PREFIX}_{key_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return NewKey(ApiKey(key_id, name, role, _digest(token), now), token)


def new_entry_id() -> str:
    """A name for an audit entry that nobody else gives."""
    return secrets.token_hex(16)


def _id_of(token: str) -> str:
    parts = token.split("_", 2)
    return parts[1] if len(parts) == 3 and parts[0] == _PREFIX else ""


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
