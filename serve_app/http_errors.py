"""How errors become HTTP answers: one table from domain errors to statuses, one body for all.

Owns statuses, codes and the error body. Whatever a client sends ends here as a 4xx; a 500 is always a fault of ours, and its text
tells nothing of the inside.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from math import isfinite
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from actors.core.errors import (
    ActorSystemError,
    AliasMovedError,
    DeadlineExceededError,
    DuplicateRequestError,
    InvalidSelectorError,
    InvalidTransitionError,
    InvalidUnitsError,
    KeyNotFoundError,
    LastAdminKeyError,
    LimitError,
    LineFullError,
    ModelCheckError,
    ModelInUseError,
    ModelNotFoundError,
    PredictionError,
    PredictionInputError,
    ServingFullError,
    StoreUnavailableError,
    SubmissionError,
    TaskEndedError,
    TaskNotEndedError,
    TaskNotFoundError,
    TaskNotWaitingError,
    UnsatisfiableRequestError,
)
from serve_app.methods import allowed_methods
from serve_app.ports import NotReadyError
from serve_app.schemas.tasks import ErrorResponse

#: The status of each domain error; a subclass has its base's unless it is named itself.
STATUS_OF: Mapping[type[Exception], int] = {
    TaskNotFoundError: 404,
    TaskEndedError: 404,  # as the origin answers
    TaskNotEndedError: 404,  # as the origin answers
    KeyNotFoundError: 404,
    LastAdminKeyError: 409,
    TaskNotWaitingError: 409,
    InvalidTransitionError: 409,
    DuplicateRequestError: 409,
    UnsatisfiableRequestError: 409,
    LineFullError: 429,
    ServingFullError: 429,
    ModelNotFoundError: 404,
    ModelInUseError: 409,
    AliasMovedError: 409,
    ModelCheckError: 409,
    PredictionError: 500,  # the network or its device failed; what a client sends wrong has errors of its own
    PredictionInputError: 422,
    DeadlineExceededError: 504,
    LimitError: 422,
    InvalidSelectorError: 422,
    InvalidUnitsError: 422,
    SubmissionError: 422,
    StoreUnavailableError: 503,
    NotReadyError: 503,
}
#: Submission errors that are about more than the field's value.
STATUS_OF_SUBMISSION: Mapping[str, int] = {"path_not_found": 404, "path_forbidden": 403}
CODE_OF_STATUS: Mapping[int, str] = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
}
#: When asking again is worth while: a place in the line takes minutes rather than seconds, a full disk a person.
RETRY_AFTER_S: Mapping[type[Exception], int] = {LineFullError: 30, StoreUnavailableError: 30, ServingFullError: 1}
#: The paths of the Open Inference Protocol.
PROTOCOL_ROOT = "/v2"
INVALID = HTTPStatus.UNPROCESSABLE_ENTITY
MOST_FIELD_ERRORS = 100
#: Where the cursors of all lists are sent.
CURSOR = ("query", "cursor")
MOST_ECHOED_CHARACTERS = 200


class RequestRefusedError(HTTPException):
    """A request that this process refuses by itself: for its form, or since what it asks for is not there."""

    def __init__(self, status_code: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status_code, message, headers)
        self.code = code


@dataclass(frozen=True, slots=True)
class HttpFault:
    """An error as HTTP tells it; ``detail`` is the list of wrong fields, or empty where the message says all."""

    status: int
    code: str
    message: str
    detail: Sequence[Mapping[str, Any]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """The error body of the contract."""
        return {
            "status": "error",
            "code": self.code,
            "message": self.message,
            "detail": list(self.detail) or self.message,
            "timestamp": datetime.now(UTC).isoformat(),
        }

    def response(self, path: str = "") -> Response:
        """The whole answer to a request for a path. Escaped to ASCII, since what a client sent may hold half characters."""
        body = {"error": self.message} if is_protocol_path(path) else self.body()
        return Response(json.dumps(body), self.status, self.headers, "application/json")


def is_protocol_path(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol, whose errors have a body of their own."""
    return path == PROTOCOL_ROOT or path.startswith(f"{PROTOCOL_ROOT}/")


def describe_error(error: Exception) -> HttpFault:
    """Find the HTTP form of any error; what the table does not hold is a fault of ours."""
    if isinstance(error, RequestValidationError):
        return _describe_invalid_fields(error.errors())
    if isinstance(error, HTTPException):
        code = error.code if isinstance(error, RequestRefusedError) else CODE_OF_STATUS.get(error.status_code, "http_error")
        return HttpFault(error.status_code, code, str(error.detail), headers=error.headers or {})
    if isinstance(error, NotReadyError):
        return HttpFault(503, "not_ready", str(error), headers={"Retry-After": str(error.retry_after_s)})
    if isinstance(error, ActorSystemError):
        return _describe_domain_error(error)
    return HttpFault(500, "internal_error", "an error inside the service; its log tells more")


def wrong_cursor(cursor: str | None) -> RequestValidationError:
    """The error of a cursor that no page gave."""
    return RequestValidationError([{"type": "invalid_cursor", "loc": CURSOR, "msg": "", "input": cursor}])


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the errors that a route may answer with."""
    return {status: {"model": ErrorResponse, "description": HTTPStatus(status).phrase} for status in statuses}


def install_error_handlers(app: FastAPI) -> None:
    """Make every error of the application leave in the one body."""

    async def on_error(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names the methods of one route only, where several share the path.
            allow = {"Allow": allowed_methods(request.app.routes, request.scope)}
            if request.method == "OPTIONS":
                return Response(status_code=HTTPStatus.NO_CONTENT, headers=allow)
            error = HTTPException(error.status_code, error.detail, allow)
        if isinstance(error, HTTPException) and not isinstance(error, RequestRefusedError):
            error = _name_the_route(request, error)
        return describe_error(error).response(request.url.path)

    for kind in (ActorSystemError, NotReadyError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, on_error)


def _name_the_route(request: Request, error: HTTPException) -> HTTPException:
    """Say which route does not exist, where the router says only that it does not."""
    texts = {404: "does not exist; / lists all routes", 405: "does not take this method; / lists all routes"}
    if error.status_code not in texts:
        return error
    path = request.url.path[:MOST_ECHOED_CHARACTERS]
    return HTTPException(error.status_code, f"{request.method} {path} {texts[error.status_code]}", error.headers)


def _describe_domain_error(error: ActorSystemError) -> HttpFault:
    status = next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)
    if isinstance(error, SubmissionError):
        status = STATUS_OF_SUBMISSION.get(error.code, status)
    retry_after_s = RETRY_AFTER_S.get(type(error))
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return HttpFault(status, error.code, str(error), _wrong_field(error) if status == INVALID else (), headers)


def _wrong_field(error: ActorSystemError) -> list[dict[str, Any]]:
    """The field that an error of the domain names, in the form of all field errors; none where it names none."""
    if isinstance(error, SubmissionError):
        message = f"{error.message} ({error.hint})" if error.hint else error.message
        return [_field_error(["body", error.field], message, error.code)]
    if isinstance(error, PredictionInputError):
        return [_field_error(["body"], error.reason, error.code)]
    if isinstance(error, LimitError):
        return [_field_error(["body", "max_concurrent", error.field], error.reason, error.code)]
    return []


def _describe_invalid_fields(errors: Sequence[Mapping[str, Any]]) -> HttpFault:
    """List what is wrong with each field; never echo more than short plain values."""
    detail = [_describe_field(error) for error in errors[:MOST_FIELD_ERRORS]]
    shown = [f"{'.'.join(map(str, each['loc'][1:])) or each['loc'][0]}: {each['msg']}" for each in detail[:3]]
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return HttpFault(INVALID, "invalid_field", "; ".join(shown) + more, detail)


def _describe_field(error: Mapping[str, Any]) -> dict[str, Any]:
    loc = [each if isinstance(each, int) else each[:MOST_ECHOED_CHARACTERS] for each in error["loc"]]
    given = error.get("input")
    message = error["msg"].removeprefix("Value error, ")
    if tuple(loc) == CURSOR:  # what it must look like concerns nobody but the list
        shown = repr(given) if _is_plain(given) else "this"
        message = f"{shown} is no place in this list; send next_cursor of the page before, or nothing for the first page"
    described = _field_error(loc, message, error["type"])
    return described | {"input": given} if _is_plain(given) else described


def _field_error(loc: list[str | int], message: str, kind: str) -> dict[str, Any]:
    return {"loc": loc, "msg": message, "type": kind}


def _is_plain(value: Any) -> bool:
    """Whether a value is short and safe to send back as JSON."""
    if isinstance(value, str):
        return len(value) <= MOST_ECHOED_CHARACTERS
    if isinstance(value, float):
        return isfinite(value)
    return value is None or (isinstance(value, int) and abs(value) < 2**63)
