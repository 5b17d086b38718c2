"""Bodies that are too large for memory: files, sent block by block, as often as a call has to be repeated.

Owns the reading of files and the form of several in one body (multipart/form-data). Knows nothing of what is in them.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
from anyio import to_thread

from cluster.service_errors import InvalidRequestError

BLOCK_BYTES: Final = 256 << 10
BINARY: Final = "application/octet-stream"
#: Called with the bytes that are through and with all there are.
OnProgress = Callable[[int, int], None]
#: A file on this machine, or the content of one.
Piece = bytes | Path
_TYPES: Final[Mapping[str, str]] = {
    ".png": "image/png",
    ".gif": "image/gif",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".bmp": "image/bmp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".wav": "audio/wav",
}
_SIGNATURES: Final = ((b"\x89PNG", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"RIFF", "audio/wav"))


@dataclass(frozen=True)
class Streamed(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Pieces that are sent one after the other; every reading begins anew, so a repeated call sends the whole again.

    Attributes:
        media_type: for the Content-Type.
        pieces: in their order.
        size: of all, in bytes; files are asked once, when the call is made.
    """

    media_type: str
    pieces: tuple[Piece, ...]
    on_progress: OnProgress | None = None
    size: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", sum(map(_size, self.pieces)))

    def __iter__(self) -> Iterator[bytes]:
        sent = 0
        for piece in self.pieces:
            for block in _blocks(piece):
                yield block
                sent += len(block)
                self._tell(sent)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        blocks = iter(self)
        while (block := await to_thread.run_sync(next, blocks, b"")) != b"":
            yield block

    def _tell(self, sent: int) -> None:
        if self.on_progress is not None:
            self.on_progress(sent, self.size)


def one_file(piece: Piece, *, media_type: str = "", on_progress: OnProgress | None = None) -> Streamed:
    """A body that is one file. Raises InvalidRequestError where there is no such file."""
    return Streamed(media_type or guess_media_type(piece), (piece,), on_progress)


def several_files(files: Sequence[tuple[str, Piece]]) -> Streamed:
    """A body of several files, each with the name that it is told by. Raises InvalidRequestError where there is no such file."""
    boundary = secrets.token_hex(16)
    pieces: list[Piece] = []
    for name, piece in files:
        pieces += [_part_header(boundary, name), piece, b"\r\n"]
    return Streamed(f"multipart/form-data; boundary={boundary}", (*pieces, f"--{boundary}--\r\n".encode()))


def guess_media_type(piece: Piece) -> str:
    """What a file is: by its ending, or by its first bytes; samples without a header where neither tells."""
    if isinstance(piece, Path):
        return _TYPES.get(piece.suffix.lower(), BINARY)
    return next((kind for start, kind in _SIGNATURES if piece.startswith(start)), BINARY)


def _part_header(boundary: str, name: str) -> bytes:
    # As browsers write it: the three characters that would end the name early are escaped, all else is UTF-8.
    quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    lines = (f"--{boundary}", f'Content-Disposition: form-data; name="files"; filename="{quoted}"', f"Content-Type: {BINARY}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _size(piece: Piece) -> int:
    if isinstance(piece, bytes):
        return len(piece)
    try:
        if not piece.is_file():
            raise InvalidRequestError(f"{piece} is no file on this machine")
        return piece.stat().st_size
    except OSError as error:
        raise _unreadable(piece, error) from None


def _blocks(piece: Piece) -> Iterator[bytes]:
    if isinstance(piece, bytes):
        for start in range(0, len(piece), BLOCK_BYTES):
            yield piece[start : start + BLOCK_BYTES]
        return
    try:
        with piece.open("rb") as file:
            while block := file.read(BLOCK_BYTES):
                yield block
    except OSError as error:
        raise _unreadable(piece, error) from error


def _unreadable(piece: Path, error: OSError) -> InvalidRequestError:
    return InvalidRequestError(f"{piece} cannot be read: {error.strerror or error}; look at its permissions, or name another file")
