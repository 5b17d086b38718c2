"""What the client does, without doing it: every conversation with the service, written once for both clients.

A *flow* is a generator that yields *steps* ("send this", "pause so long") and is sent back what came of each. It decides everything:
what is asked next, whether a failure may be repeated, when to give up. Whoever runs it decides nothing: the synchronous client performs
the steps blocking, the asynchronous one awaits them, and a test answers them from a list. A flow that yields ``Item``s beside its steps
is an iterator for the caller.

    def ask_twice(manner, call):
        first = yield from ask(manner, call)    # steps travel up to the runner, the answer comes back
        yield Pause(1.0)
        return first, (yield from ask(manner, call))
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar

import httpx
from pydantic import ValidationError
from pydantic_core import from_json

from cluster.client.operation import Call, Operation, Repeat
from cluster.client.retry import Manner, Tries
from cluster.service_errors import ApiError, NoAnswerError, UnreachableError, refusal

A = TypeVar("A")
Page = TypeVar("Page")
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a call; its whole answer comes back, as an ``Answer``."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Open:
    """Send a call and read no more than the head; an ``Answer`` without content comes back. Closes what was open before."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next bytes of what is open; none come back at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Do:
    """Do something that blocks, such as writing to a disk; what it returns comes back."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Item(Generic[A]):
    """One more for the caller's loop."""

    value: A


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: httpx.Headers
    content: bytes = b""

    @property
    def is_error(self) -> bool:
        """Whether the status says so; redirections are errors too, since the service sends none to programs."""
        return not HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    def error(self) -> ApiError:
        """The error that an answer with an error status tells; whoever stands before the service may answer in a form of its own."""
        try:
            body = from_json(self.content)
        except ValueError:
            body = {}
        told = body if isinstance(body, dict) else {}
        message = str(told.get("message") or told.get("error") or f"the answer was {self.status}")
        return refusal(
            self.status,
            message,
            code=str(told.get("code", "")),
            detail=told.get("detail", ""),
            retry_after_s=_retry_after_s(self.headers),
        )


Step = Send | Open | Read | Pause | Do
#: A conversation that ends with a result.
Flow = Generator[Step, Any, A]
#: A conversation that has something for the caller ever so often.
Items = Generator[Step | Item[A], Any, None]


class Conversation:
    """A flow under way, and what is to be told to it next. Who runs a flow alternates ``advance`` with ``tell`` or ``fail``."""

    def __init__(self, flow: Generator[Any, Any, Any]) -> None:
        self._flow = flow
        self._go_on: Callable[[], Any] = partial(next, flow)

    def advance(self) -> Any:
        """The flow's next step, or an item. Raises StopIteration, with the result as its value, at the end; else what the flow raises."""
        go_on, self._go_on = self._go_on, partial(next, self._flow)
        return go_on()

    def tell(self, outcome: Any) -> None:
        """What came of the last step."""
        self._go_on = partial(self._flow.send, outcome)

    def fail(self, error: httpx.TransportError) -> None:
        """The last step failed on its way to the service or back."""
        self._go_on = partial(self._flow.throw, error)

    def end(self) -> None:
        """Give the flow up, wherever it stands; it puts its things away."""
        self._flow.close()


#: An answer that is there is taken, even where the time is over: who waits for no time at all still gets to know the state.
_LEAST_LOOK_S: Final = 0.5
#: The service, or what stands before it, cannot answer now; some time later it may.
_PASSING: Final = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
#: While the service starts, a proxy before it knows none of its routes yet.
_UNKNOWN_TO_A_PROXY: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.INTERNAL_SERVER_ERROR})
#: Nothing was sent yet when these came.
_UNREACHED: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def ask(manner: Manner, call: Call[A]) -> Flow[A]:
    """Send a call, again where that does no harm, and read its answer.

    Raises:
        ApiError: the service refuses.
        UnreachableError: nobody can be reached, or the connection was lost and nobody knows what became of the call.
        NoAnswerError: the answer is not one of the service.
    """
    answer = yield from exchange(manner, call)
    return read_answer(call.operation, answer, manner.url)


def ask_bytes(manner: Manner, call: Call[bytes]) -> Flow[bytes]:
    """The same for an answer that is no JSON."""
    answer = yield from exchange(manner, call)
    return answer.content


def exchange(manner: Manner, call: Call[Any]) -> Flow[Answer]:
    """Send a call until there is an answer that is no error. Raises ApiError, UnreachableError."""
    tries = Tries(manner.within(call.patience_s))
    while True:
        try:
            answer: Answer = yield Send(_in_time(manner, call))
        except httpx.TransportError as error:
            pause = tries.pause_s() if may_repeat(call, error) else None
            if pause is None:
                raise unreachable(manner, error) from error
        else:
            if not answer.is_error:
                return answer
            refused = answer.error()
            is_worth_it = call.operation.repeat is Repeat.SAFE and is_passing(refused, knows_the_service=manner.has_answered)
            pause = tries.pause_s(refused.retry_after_s) if is_worth_it else None
            if pause is None:
                raise refused
        yield Pause(pause)


def begin(call: Call[Any]) -> Flow[Answer]:
    """Open an answer, whose bytes are then to be ``Read``. Raises ApiError, and httpx.TransportError, which nobody has dealt with yet."""
    answer: Answer = yield Open(call)
    if not answer.is_error:
        return answer
    content = b""
    while block := (yield Read()):
        content += block
    raise replace(answer, content=content).error()


def _in_time(manner: Manner, call: Call[A]) -> Call[A]:
    """The call, for no longer than its manner's deadline lets it."""
    left_s = manner.left_s()
    return call if left_s is None else replace(call, longest_s=max(left_s, _LEAST_LOOK_S))


def may_repeat(call: Call[Any], error: httpx.TransportError) -> bool:
    """Whether a call whose connection failed may be sent again."""
    return call.operation.repeat is Repeat.SAFE or isinstance(error, _UNREACHED)


def is_passing(error: ApiError, *, knows_the_service: bool = False) -> bool:
    """Whether the same request may find another answer soon.

    Args:
        error: the answer.
        knows_the_service: it has answered before at this address, so a proxy that does not know its routes waits for it to start.
    """
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        return error.retry_after_s is not None
    if error.code:
        return error.status == HTTPStatus.SERVICE_UNAVAILABLE
    return error.status in _PASSING or (knows_the_service and error.status in _UNKNOWN_TO_A_PROXY)


def unreachable(manner: Manner, error: httpx.TransportError) -> UnreachableError:
    """The error of a connection that failed, for people."""
    return UnreachableError(manner.url, str(error) or type(error).__name__)


def read_answer(operation: Operation[A], answer: Answer, url: str) -> A:
    """The answer as its model; fields that a newer service adds are left out. Raises NoAnswerError."""
    if operation.answer is None:
        raise TypeError(f"{operation.path} does not answer with JSON")
    try:
        return operation.answer.validate_json(answer.content, extra="ignore")
    except ValidationError as error:
        wrong = error.errors()[0]
        where = ".".join(map(str, wrong["loc"])) or "the whole"
        raise NoAnswerError(
            f"{url}{operation.path} does not answer as this client expects ({where}: {wrong['msg']}); "
            "is it another service, or another version of it?"
        ) from error


def pages(
    manner: Manner,
    call_after: Callable[[str | None], Call[Page]],
    rows: Callable[[Page], Iterable[Row]],
    cursor: Callable[[Page], str | None],
) -> Items[Row]:
    """Yield the rows of all pages, each page asked for when its first row is wanted."""
    after: str | None = None
    while True:
        page = yield from ask(manner, call_after(after))
        for row in rows(page):
            yield Item(row)
        after = cursor(page)
        if after is None:
            return


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """What Retry-After says, in seconds; None where it says nothing that can be used. Dates count from the answer's own."""
    text = headers.get("retry-after", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["date"])).total_seconds())
    except (ValueError, TypeError, KeyError):
        return None
