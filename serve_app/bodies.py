"""JSON in, JSON out: what a request body must be before any route sees it, and how answers are written.

Owns media types, the size limit and the strict reading of JSON. A route that takes other bodies is a ``GuardedRoute`` and checks
for itself.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

from fastapi import Request, Response
from pydantic import BaseModel
from pydantic_core import to_json

from serve_app.access import SUBJECT, GuardedRoute, Handler
from serve_app.http_errors import RequestRefusedError, error_responses
from serve_app.schemas.fields import is_task_id

MOST_BODY_BYTES = 1_000_000
#: Of all objects in a body; about 30 ms of checks where all are wrong.
MOST_FIELDS = 5_000
#: A megabyte takes no longer; a body that never ends would keep its request for ever.
MOST_BODY_S = 60.0
JSON_TYPE = "application/json"
PICTURE_TYPES = tuple(f"image/{kind}" for kind in ("png", "jpeg", "gif", "bmp", "tiff"))
#: What any request may be answered with: a foreign Host, and a body that should not be there.
BODY_ERRORS = error_responses(400, 413, 415)


class JsonAnswer(Response):
    """An answer written in one pass; the route's ``response_model`` is for the OpenAPI document only. Not finite means null.

    Attributes:
        subject: what the audit log says the request was about; by default the task or batch that the answer names.
    """

    media_type = JSON_TYPE

    def __init__(self, answer: BaseModel | Mapping[str, Any], *, subject: str = "") -> None:
        super().__init__(to_json(answer, inf_nan_mode="null"))
        self.subject = subject or _named_subject(answer)


class JsonRequest(Request):
    """A request whose body is read up to the limit, and as JSON in the strict sense.

    Attributes:
        named_task: the task that its body names, once it was read; "" if none, or none that could be one.
    """

    named_task = ""

    async def body(self) -> bytes:
        """The body. Raises RequestRefusedError: 413 as soon as it is known to be too large, 400 where it never ends."""
        if not hasattr(self, "_body"):
            try:
                async with asyncio.timeout(MOST_BODY_S):
                    self._body = await self._receive_all()
            except TimeoutError:
                raise RequestRefusedError(400, "body_incomplete", f"the body did not come within {MOST_BODY_S:.0f} s") from None
        return self._body

    async def _receive_all(self) -> bytes:
        received = bytearray()
        async for chunk in self.stream():
            received += chunk
            _check_size(len(received))
        return bytes(received)

    async def json(self) -> Any:
        """The body's value. Raises RequestRefusedError: 400 where it is no JSON, 413 where it has too many fields."""
        try:
            text = (await self.body()).decode("utf-8-sig")
            value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_FieldCount().make_object)
        except UnicodeDecodeError as error:
            raise _not_json(f"it is not UTF-8 text (byte {error.start})") from None
        except RecursionError:
            raise _not_json("it is nested too deeply") from None
        except ValueError as error:
            raise _not_json(str(error)) from None
        task_id = value.get("task_id") if isinstance(value, dict) else None
        if isinstance(task_id, str) and is_task_id(task_id):
            self.named_task = task_id
        return value


class _FieldCount:
    """Counts the fields of all objects of a body: telling of each what is wrong with it would keep other requests waiting."""

    def __init__(self) -> None:
        self._fields = 0

    def make_object(self, fields: list[tuple[str, Any]]) -> dict[str, Any]:
        """Make an object of its fields. Raises RequestRefusedError."""
        self._fields += len(fields)
        if self._fields > MOST_FIELDS:
            raise RequestRefusedError(413, "body_too_large", f"the body may have {MOST_FIELDS} fields")
        return dict(fields)


class JsonRoute(GuardedRoute):
    """A route that takes JSON bodies or none; what the checks of the body may answer is in its OpenAPI entry."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        options["responses"] = {**BODY_ERRORS, **(options.get("responses") or {})}
        super().__init__(path, endpoint, **options)

    def guarded_handler(self) -> Handler:
        """The handler, behind the checks of the body."""
        handle = super().guarded_handler()

        async def handle_json(request: Request) -> Response:
            if request.method in ("GET", "HEAD") and not _has_body(request):
                return await handle(request)
            _check_media_type(request)
            _check_size(announced_size(request))
            asked = JsonRequest(request.scope, request.receive)
            try:
                response = await handle(asked)
            except Exception:
                request.scope[SUBJECT] = asked.named_task
                raise
            request.scope[SUBJECT] = getattr(response, "subject", "")
            return response

        return handle_json


def _named_subject(answer: BaseModel | Mapping[str, Any]) -> str:
    """The batch or task that an answer names; "" if none."""
    find = answer.get if isinstance(answer, Mapping) else partial(getattr, answer)
    return str(find("batch_id", None) or find("task_id", None) or "")


def _has_body(request: Request) -> bool:
    headers = request.headers
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def media_type_of(request: Request) -> str:
    """What the request says its body is, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_media_type(request: Request) -> None:
    if not _has_body(request):
        return
    if media_type_of(request) != JSON_TYPE:
        given = request.headers.get("content-type", "")
        shown = repr(given[:100]) if given else "no Content-Type"
        raise RequestRefusedError(415, "unsupported_media_type", f"the body must be {JSON_TYPE}, not {shown}")


def announced_size(request: Request) -> int:
    """The bytes that the body is said to have; 0 where nothing is said."""
    text = request.headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _check_size(size: int) -> None:
    if size > MOST_BODY_BYTES:
        raise RequestRefusedError(413, "body_too_large", f"the body may take {MOST_BODY_BYTES} bytes")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _not_json(reason: str) -> RequestRefusedError:
    return RequestRefusedError(400, "invalid_json", f"the body is not JSON: {reason}")
