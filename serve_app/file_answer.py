"""A file that is already open, as an answer: whole, or the one range that was asked for.

Opened before the answer begins, so that what was checked is what is sent. It is always offered for saving and never as a page: what
a data root holds was written by others than the service.
"""

import os
import re
from collections.abc import AsyncIterator, Mapping
from email.utils import formatdate
from io import BufferedReader
from pathlib import PurePath
from typing import Final
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from serve_app.file_work import in_file_thread
from serve_app.http_errors import RequestRefusedError

_BLOCK_BYTES: Final = 256 << 10
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
#: Few and fixed: nothing that a browser would run is among them.
_TYPES: Final[Mapping[str, str]] = {
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".log": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".yaml": "application/yaml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}


class FileAnswer(StreamingResponse):
    """Sends an open file and closes it, however the sending ends."""

    def __init__(self, file: BufferedReader, name: str, request_headers: Mapping[str, str]) -> None:
        """Settle what is sent.

        Args:
            file: what to send; closed by this answer.
            name: what the client may call it.
            request_headers: with the range that is wanted, if any.

        Raises:
            RequestRefusedError: the range lies behind the file's end.
        """
        self._file = file
        status = os.fstat(file.fileno())
        headers = {
            "accept-ranges": "bytes",
            "etag": f'"{status.st_mtime_ns:x}-{status.st_size:x}"',
            "last-modified": formatdate(_sane(status.st_mtime), usegmt=True),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}",
            "content-security-policy": "default-src 'none'; sandbox",
            "x-content-type-options": "nosniff",
        }
        wanted = _wanted_range(request_headers, headers, status.st_size)
        start, end = wanted or (0, status.st_size)
        headers["content-length"] = str(end - start)
        if wanted:
            headers["content-range"] = f"bytes {start}-{end - 1}/{status.st_size}"
        media_type = _TYPES.get(PurePath(name).suffix.lower(), "application/octet-stream")
        super().__init__(self._blocks(start, end), 206 if wanted else 200, headers, media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()

    async def _blocks(self, start: int, end: int) -> AsyncIterator[bytes]:
        await in_file_thread(self._file.seek, start)
        while start < end:
            block = await in_file_thread(self._file.read, min(_BLOCK_BYTES, end - start))
            if not block:
                return  # it was cut short meanwhile; the server sees that bytes are missing and closes the connection
            start += len(block)
            yield block


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """The range that a header names, as first byte and the one after the last; None for what may be ignored.

    Raises:
        RequestRefusedError: it lies behind the end.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1) if match[2] else size
        if match[2] and int(match[2]) < start:
            return None
    if start >= size:
        raise RequestRefusedError(
            416, "range_not_satisfiable", f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, end


def _wanted_range(request_headers: Mapping[str, str], headers: Mapping[str, str], size: int) -> tuple[int, int] | None:
    """The range to send; None for the whole file, also where the client had begun with another version of it."""
    known = request_headers.get("if-range")
    if "range" not in request_headers or (known is not None and known not in (headers["etag"], headers["last-modified"])):
        return None
    return parse_range(request_headers["range"], size)


def _sane(seconds: float) -> float:
    """A file's time within the years that dates can tell."""
    return min(max(seconds, 0.0), 253_402_300_799.0)
