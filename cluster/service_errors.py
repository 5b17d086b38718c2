"""What can go wrong between a program and the service, for all that talk to it over HTTP. Needs neither httpx nor the models.

ServiceError
├── NoAnswerError         somebody may be there, but does not answer as the service does
│   └── UnreachableError  nobody can be reached
├── ApiError              the service refuses: status, code, message, detail
│   └── KeyNeededError    it wants a key, another one, or one of another role
├── InvalidRequestError   the request is wrong by itself; nothing was sent
├── BrokenTransferError   a file did not arrive whole
└── WaitEndedError        what was waited for did not come in time
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any


class ServiceError(Exception):
    """Base of them all; its text is for people and names the remedy."""


class NoAnswerError(ServiceError):
    """Nobody answers, or not as the service does."""


class UnreachableError(NoAnswerError):
    """Nobody can be reached at the address, or the connection was lost and could not be had again."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url = url
        self.reason = reason

    def __str__(self) -> str:
        return f"no answer from {self.url} ({self.reason}); is it up? `rfuav up` starts it, RFUAV_URL names another address"


class ApiError(ServiceError):
    """The service answered with an error.

    Attributes:
        status: of HTTP.
        code: the service's word for it, like ``task_not_found``; "" where the answer was not the service's own.
        message: a sentence for people.
        detail: the wrong fields of a 422, each with ``loc``, ``msg`` and ``type``; else the message again.
        retry_after_s: when asking again is worth while; None where the service did not say.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        detail: str | Sequence[Mapping[str, Any]] = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(status, code, message, detail, retry_after_s)
        self.status = status
        self.code = code
        self.message = message
        self.detail = detail or message
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.message} ({self.status} {self.code})" if self.code else f"{self.message} ({self.status})"


class KeyNeededError(ApiError):
    """The service wants a key, another one, or one of another role."""

    def __str__(self) -> str:
        return f"{self.message}: set RFUAV_API_KEY to a key that may"


class InvalidRequestError(ServiceError, ValueError):
    """A request is wrong by itself; nothing was sent."""


class BrokenTransferError(ServiceError):
    """A file did not arrive whole."""


class WaitEndedError(ServiceError, TimeoutError):
    """What was waited for did not come in time. The task goes on."""


def refusal(status: int, message: str, *, code: str = "", detail: Any = "", retry_after_s: float | None = None) -> ApiError:
    """The error of an answer with an error status."""
    is_about_keys = status == HTTPStatus.UNAUTHORIZED or code == "role_too_low"
    return (KeyNeededError if is_about_keys else ApiError)(status, code, message, detail, retry_after_s)
