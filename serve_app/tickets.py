"""Tickets for log streams: a browser's EventSource can send no headers, and a key in an address would end up in logs and histories.

A ticket says which task's log it opens, whose key it was given for and until when, signed with a secret that this process made for
itself and that ends with it. It may be used again until then, since an EventSource that lost its connection opens the same address
anew. An opened stream lives on as long as the key.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TICKET_LIFE_S: Final = 60.0
_MOST_LENGTH: Final = 1_000


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says; ``expires_at`` in seconds since the epoch."""

    task_id: str
    key_id: str
    expires_at: float


class TicketOffice:
    """Gives out tickets and recognises its own. Holds nothing but its secret."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(32)

    def issue(self, task_id: str, key_id: str) -> tuple[str, Ticket]:
        """Make a ticket; returns its text too."""
        ticket = Ticket(task_id, key_id, self._clock() + TICKET_LIFE_S)
        content = json.dumps([ticket.task_id, ticket.key_id, ticket.expires_at]).encode()
        return f"{_encode(content)}.{_encode(self._sign(content))}", ticket

    def read(self, text: str) -> Ticket | None:
        """What a ticket says; None if it is not one of ours, or too old."""
        content, _, signature = text[:_MOST_LENGTH].partition(".")
        try:
            said, signed = _decode(content), _decode(signature)
        except (binascii.Error, ValueError):
            return None
        if not hmac.compare_digest(signed, self._sign(said)):
            return None
        ticket = Ticket(*json.loads(said))
        return ticket if self._clock() < ticket.expires_at else None

    def _sign(self, content: bytes) -> bytes:
        return hmac.digest(self._secret, content, hashlib.sha256)


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
