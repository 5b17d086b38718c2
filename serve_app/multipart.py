"""Bodies of several files (multipart/form-data), read as they come.

Owns the order of what is found: the beginning of a file with its name, its bytes in pieces, its end. It keeps nothing but the headers of
the file that has just begun, and knows nothing of what files are for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from serve_app.http_errors import RequestRefusedError

MULTIPART_TYPE: Final = "multipart/form-data"
#: The name under which the parser logs.
PARSER: Final = "python_multipart"
#: The parser works through a piece in one go.
_PIECE_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class FileBegun:
    """A file begins; ``name`` as it was sent."""

    name: str


@dataclass(frozen=True, slots=True)
class FileEnded:
    """The file is complete."""


#: Bytes belong to the file that began last.
MultipartEvent = FileBegun | bytes | FileEnded


class MultipartReader:
    """Finds the files in a body.

    Invariant: events come in the order of the body; between ``FileBegun`` and ``FileEnded`` only bytes.
    """

    def __init__(self, content_type: str) -> None:
        """Begin with the request's Content-Type.

        Raises:
            RequestRefusedError: it names no usable boundary.
        """
        self._events: list[MultipartEvent] = []
        self._header: dict[str, bytearray] = {"field": bytearray(), "value": bytearray()}
        self._disposition = b""
        self._is_complete = False
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not boundary:
            raise _malformed("its Content-Type names no boundary")
        try:
            self._parser = MultipartParser(boundary, self._callbacks())  # type: ignore[arg-type]
        except FormParserError as error:
            raise _malformed(str(error)) from None

    def feed(self, chunk: bytes) -> list[MultipartEvent]:
        """Take a piece of the body, and tell what was found in it. Raises RequestRefusedError."""
        try:
            for start in range(0, len(chunk), _PIECE_BYTES):
                self._parser.write(chunk[start : start + _PIECE_BYTES])
        except FormParserError as error:
            raise _malformed(str(error)) from None
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """Make sure that the body came to its end. Raises RequestRefusedError."""
        if not self._is_complete:
            raise _malformed("it ends before its last boundary")

    def _callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": partial(self._add_header, "field"),
            "on_header_value": partial(self._add_header, "value"),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_file,
            "on_part_data": self._add_data,
            "on_part_end": self._end_file,
            "on_end": self._complete,
        }

    def _begin_part(self) -> None:
        self._disposition = b""

    def _add_header(self, kind: str, data: bytes, start: int, end: int) -> None:
        self._header[kind] += data[start:end]

    def _end_header(self) -> None:
        if self._header["field"].lower() == b"content-disposition":
            self._disposition = bytes(self._header["value"])
        self._header["field"].clear()
        self._header["value"].clear()

    def _begin_file(self) -> None:
        name = parse_options_header(self._disposition)[1].get(b"filename")
        if name is None:
            raise _malformed("one of its parts has no filename; parameters belong into the query")
        try:
            self._events.append(FileBegun(name.decode()))
        except UnicodeDecodeError:
            raise _malformed("one of its filenames is not UTF-8") from None

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(data[start:end])

    def _end_file(self) -> None:
        self._events.append(FileEnded())

    def _complete(self) -> None:
        self._is_complete = True


def _malformed(reason: str) -> RequestRefusedError:
    return RequestRefusedError(400, "invalid_multipart", f"the body is not {MULTIPART_TYPE} of files: {reason}")
