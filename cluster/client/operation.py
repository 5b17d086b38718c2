"""What a call is: one row of the contract, and one row filled in. Plain data: nothing here sends anything.

An ``Operation`` says what the contract says about a route: method, path, what the answer is, whether sending it twice does harm. A
``Call`` is an operation with its blanks filled in. Both executors, the one that blocks and the one that awaits, send calls alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar
from urllib.parse import quote
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from cluster.client.bodies import Streamed
from cluster.service_errors import InvalidRequestError

A = TypeVar("A")
Fields = Mapping[str, Any]
#: What the query of a call may hold; None is left out, a list is repeated.
Query = Mapping[str, str | int | float | bool | list[str] | None]


class Repeat(Enum):
    """When a call may be sent again by itself."""

    #: Whatever became of it: a second one changes nothing, or the service knows it again by its task id.
    SAFE = "safe"
    #: Only when nothing of the first reached the service: else the thing might be done twice.
    UNREACHED = "unreached"


@dataclass(frozen=True, slots=True)
class Call(Generic[A]):
    """One request, ready to be sent as often as its operation allows.

    Attributes:
        operation: the route.
        path: with its blanks filled in.
        query: what follows the path.
        headers: beside those that every request carries.
        body: JSON, or files.
        timeout_s: the longest silence before the answer; None for the client's own.
        patience_s: no repetition begins later than this; None for the client's own patience.
        longest_s: bounds every silence, that of connecting too; None where only the other times count.
    """

    operation: "Operation[A]"
    path: str
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | Streamed | None = None
    timeout_s: float | None = None
    patience_s: float | None = None
    longest_s: float | None = None


@dataclass(frozen=True, slots=True)
class Operation(Generic[A]):
    """One route of the contract.

    Attributes:
        method: of HTTP.
        path: with its blanks in braces, as in the OpenAPI document.
        answer: reads the answer; None where it is no JSON, which the caller reads for itself.
        request: checks the body, where there is one that is JSON.
        repeat: when it may be sent again.
    """

    method: str
    path: str
    answer: TypeAdapter[A] | None = None
    request: TypeAdapter[Any] | None = None
    repeat: Repeat = Repeat.SAFE

    def call(self, *, query: Query | None = None, body: bytes | Streamed | None = None, **blanks: str | int) -> Call[A]:
        """Fill in the blanks of the path. Slashes stay where the blank is a path, and are escaped anywhere else."""
        return self._fill(blanks, query or {}, body)

    def send(self, request: Any, fields: Fields, **blanks: str) -> Call[A]:
        """A call with a JSON body: a model, a mapping, single fields, or fields that replace some of the first two.

        Only what was given is sent: what is left out means the service's own default, which its settings may change.

        Raises:
            InvalidRequestError: the service would refuse it as 422.
        """
        return self._fill(blanks, {}, to_json(self._checked(request, fields)))

    def submit(self, request: Any, fields: Fields) -> Call[A]:
        """The same for a task. It gets an id here where it has none, so that the service knows a repeated call again.

        Raises:
            InvalidRequestError: the service would refuse it as 422.
        """
        checked = self._checked(request, fields)
        return self.call(body=to_json(checked | {"task_id": checked.get("task_id") or str(uuid4())}))

    def _fill(self, blanks: Mapping[str, str | int], query: Query, body: bytes | Streamed | None) -> Call[A]:
        filled = {name: quote(str(value), safe="/" if name == "path" else "") for name, value in blanks.items()}
        kind = body.media_type if isinstance(body, Streamed) else "application/json"
        return Call(self, self.path.format_map(filled), query, {"Content-Type": kind} if body is not None else {}, body)

    def _checked(self, request: Any, fields: Fields) -> dict[str, Any]:
        """The body as JSON has it. Raises InvalidRequestError."""
        given: Fields = request.model_dump(exclude_unset=True, by_alias=True) if hasattr(request, "model_dump") else request or {}
        if not isinstance(given, Mapping):
            raise InvalidRequestError(f"a request is a model, a mapping or single fields, not {type(request).__name__}")
        adapter = self.request or TypeAdapter(Any)
        try:
            model = adapter.validate_python({**given, **fields})
        except ValidationError as error:
            raise InvalidRequestError(describe_invalid(error)) from None
        plain: dict[str, Any] = adapter.dump_python(model, mode="json", exclude_unset=True, by_alias=True)
        return plain


def describe_invalid(error: ValidationError) -> str:
    """What is wrong with which fields, as the service would say it."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'request'}: {each['msg'].removeprefix('Value error, ')}" for each in error.errors()
    )
