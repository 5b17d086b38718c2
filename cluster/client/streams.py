"""Streams of server-sent events: parsed, and followed over lost connections and restarts of the service.

Owns the position in a stream: it moves on with every event that was handed to the caller, and a new connection begins after it, so that
nothing is told twice and nothing is left out. What the events mean is their readers' to know.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

import httpx

from cluster.client.flows import Answer, Item, Items, Pause, Read, begin, is_passing, unreachable
from cluster.client.operation import Call
from cluster.client.retry import Manner, Tries
from cluster.service_errors import ApiError, NoAnswerError

A = TypeVar("A")

#: The service sends a comment at least every 15 s: whoever is silent for so long is gone.
SILENCE_S: Final = 45.0
_EVENTS: Final = "text/event-stream"


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One event; ``id`` is "" where it has none."""

    id: str
    data: str


@dataclass(slots=True)
class SseParser:
    """Finds the events in a stream's bytes, wherever these are cut. Invariant: what is kept is less than one event.

    Attributes:
        heard: how many events and comments there were: both say that the service is there.
    """

    heard: int = 0
    _rest: bytes = b""
    _id: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, block: bytes) -> Iterator[SentEvent]:
        """Yield the events that are complete now; comments are none."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            event = self._take(line.removesuffix(b"\r").decode(errors="replace"))
            if event is not None:
                yield event

    def _take(self, line: str) -> SentEvent | None:
        """Take one line; the event that ends with it, if any."""
        if not line:
            event = SentEvent(self._id, "\n".join(self._data)) if self._data else None
            self._id, self._data = "", []
            self.heard += event is not None
            return event
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id":
            self._id = value
        elif not name:
            self.heard += 1
        return None


class EventReader(Protocol[A]):
    """Knows what the events of one kind of stream mean."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will follow."""

    def read(self, event: SentEvent) -> list[A]:
        """What an event has for the caller. Raises ApiError where it tells of one."""


def follow(manner: Manner, call: Call[Any], reader: EventReader[A], *, after: str = "") -> Items[A]:
    """Yield what the events of a stream say until its reader knows that it is over, connecting as often as it takes.

    Raises:
        ApiError: the service refuses, now or on the way.
        NoAnswerError: what answers at the address sends no events.
        UnreachableError: it could not be reached again within its patience.
    """
    manner = manner.patiently()
    tries, position, has_begun = Tries(manner), after, False
    while True:
        pause: float | None
        try:
            _require_events(manner, call, (yield from begin(_after(call, position))))
            has_begun = True
            parser = SseParser()
            while block := (yield Read()):
                heard = parser.heard
                for event in parser.feed(block):
                    for value in reader.read(event):
                        yield Item(value)
                    position = event.id or position
                if parser.heard > heard:
                    tries.succeeded()
                if reader.is_over:
                    return
            failure: Exception = NoAnswerError(f"{manner.url}{call.path}: the stream ended early, again and again")
            pause = tries.pause_s()
        except httpx.TransportError as error:
            failure, pause = unreachable(manner, error), tries.pause_s()
        except ApiError as error:
            is_worth_it = is_passing(error, knows_the_service=has_begun)
            failure, pause = error, tries.pause_s(error.retry_after_s) if is_worth_it else None
        if pause is None:
            raise failure
        yield Pause(pause)


def _require_events(manner: Manner, call: Call[Any], answer: Answer) -> None:
    """Raise NoAnswerError where an answer is no stream of events."""
    kind = answer.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != _EVENTS:
        raise NoAnswerError(f"{manner.url}{call.path} sends no events but {kind or 'something'}; is it another service?")


def _after(call: Call[Any], position: str) -> Call[Any]:
    """The call that begins to read a stream after a position."""
    headers = {"Accept": _EVENTS} | ({"Last-Event-ID": position} if position else {})
    return replace(call, headers=headers, timeout_s=SILENCE_S)
