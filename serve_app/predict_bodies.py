"""The body of a prediction: what it may be, and the contents that an order is made of.

Owns which files are pictures and which recordings, and what stays in memory: small pictures; all else goes to the request's folder. It
knows nothing of what a picture or a recording holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final, Literal

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from actors.core.errors import PredictionInputError
from actors.files.errors import WorkError
from actors.learning.pictures import PICTURE_EXTENSIONS
from actors.online.orders import Content
from actors.signals.file_names import RECORDING_ENDINGS, WAV
from actors.signals.recording import find_recordings
from configs.settings import Settings
from serve_app.bodies import PICTURE_TYPES, media_type_of
from serve_app.file_work import in_file_thread
from serve_app.http_errors import RequestRefusedError
from serve_app.multipart import MULTIPART_TYPE, FileBegun, FileEnded, MultipartEvent, MultipartReader
from serve_app.receiving import BLOCK_BYTES, BodyLimit, HeldRoom, body_chunks
from serve_app.schemas.fields import PlainName
from serve_app.spool import SpoolFolder

RAW_TYPE: Final = "application/octet-stream"
WAV_TYPES: Final = ("audio/wav", "audio/x-wav", "audio/vnd.wave")
#: A picture up to this size is handed on in memory.
PICTURE_IN_MEMORY_BYTES: Final = 4 << 20
#: All pictures of one request that are.
PICTURES_IN_MEMORY_BYTES: Final = 32 << 20
#: Stand beside recordings and are read with them.
_SIDECAR: Final = ".xml"
_BODY: Final = "body"
#: What the only file of a body is called on the disk; the ending tells what its container is.
_NAME_OF_TYPE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **{kind: f"{_BODY}.{kind.removeprefix('image/')}" for kind in PICTURE_TYPES},
        RAW_TYPE: f"{_BODY}.iq",
        **dict.fromkeys(WAV_TYPES, _BODY + WAV),
    }
)
PREDICT_TYPES: Final = (*_NAME_OF_TYPE, MULTIPART_TYPE)
_NAME: Final = TypeAdapter(PlainName)

FileKind = Literal["picture", "recording", "sidecar"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How recordings are to be read that do not tell themselves; see ``Content``."""

    datatype: str | None = None
    sample_rate: float | None = None
    center_frequency: float | None = None


def predict_limit(settings: Settings) -> BodyLimit:
    """How large the body of a prediction may be."""
    return BodyLimit(settings.max_predict_mb << 20, "a prediction", "RFUAV_MAX_PREDICT_MB")


def check_predict_headers(request: Request, limit: BodyLimit) -> str:
    """The media type of a body. Raises RequestRefusedError where it is another one (415) or the body too large (413)."""
    kind = media_type_of(request)
    if kind not in PREDICT_TYPES:
        message = f"the body must be a picture or a recording, as {', '.join(PREDICT_TYPES)}, not {kind[:100]!r}"
        raise RequestRefusedError(415, "unsupported_media_type", message)
    limit.check_announced(request)
    return kind


class PredictBody:
    """The files of one request as they come.

    Invariant: what is in memory is within the bounds above; every file has a name of its own.
    """

    def __init__(self, folder: SpoolFolder, reading: Reading, room: HeldRoom, *, most_files: int) -> None:
        self._folder = folder
        self._reading = reading
        self._room = room
        self._most_files = most_files
        self._files: dict[str, _File] = {}
        self._in_memory = 0

    async def receive(self, request: Request, limit: BodyLimit) -> tuple[Content, ...]:
        """Read the whole body.

        Raises:
            RequestRefusedError: it is too large, stops coming, finds no room, or is no multipart body although it says so.
            PredictionInputError: a file in it cannot be predicted; or there is none.
        """
        kind = media_type_of(request)
        if kind == MULTIPART_TYPE:
            await self._receive_files(request, limit)
        else:
            file = self._begin(_NAME_OF_TYPE[kind])
            async for chunk in body_chunks(request, limit, is_urgent=True):
                await self._append(file, chunk)
            await self._end(file)
        return await self._contents()

    async def _receive_files(self, request: Request, limit: BodyLimit) -> None:
        reader = MultipartReader(request.headers["content-type"])
        file: _File | None = None
        async for chunk in body_chunks(request, limit, is_urgent=True):
            for event in reader.feed(chunk):
                file = await self._take(event, file)
        reader.finish()

    async def _take(self, event: MultipartEvent, file: "_File | None") -> "_File | None":
        """Go on with a body of several files; returns the file that is open now."""
        if isinstance(event, FileBegun):
            return self._begin(event.name)
        if file is not None and isinstance(event, FileEnded):
            await self._end(file)
            return None
        if file is not None and isinstance(event, bytes):
            await self._append(file, event)
        return file

    def _begin(self, name: str) -> "_File":
        if len(self._files) >= self._most_files:
            raise PredictionInputError(f"a prediction may have {self._most_files} files (RFUAV_MAX_PREDICT_FRAMES)")
        file = _File(name, _disk_name(name))
        if file.disk_name in self._files:
            raise PredictionInputError(f"two files are called {file.disk_name!r}; give each a name of its own")
        self._files[file.disk_name] = file
        return file

    async def _append(self, file: "_File", chunk: bytes) -> None:
        self._room.grow(len(chunk))
        file.buffer += chunk
        file.size_bytes += len(chunk)
        self._in_memory += len(chunk)
        if len(file.buffer) < BLOCK_BYTES or self._may_stay(file):
            return
        await self._write(file)

    async def _end(self, file: "_File") -> None:
        if not file.size_bytes:
            raise PredictionInputError(f"{file.name!r} is empty")
        if file.is_on_disk or not self._may_stay(file):
            await self._write(file)
            file.path = await in_file_thread(self._folder.finish, file.disk_name)

    async def _write(self, file: "_File") -> None:
        file.is_on_disk = True
        self._in_memory -= len(file.buffer)
        await in_file_thread(self._folder.append, file.disk_name, file.buffer)
        self._room.grow(-len(file.buffer))
        file.buffer = bytearray()

    def _may_stay(self, file: "_File") -> bool:
        """Whether a file can stay in memory as far as it has come."""
        is_small = file.size_bytes <= PICTURE_IN_MEMORY_BYTES and self._in_memory <= PICTURES_IN_MEMORY_BYTES
        return file.kind == "picture" and is_small and not file.is_on_disk

    async def _contents(self) -> tuple[Content, ...]:
        """What is to be predicted, in the order of the body: of a recording's several files the one that describes it."""
        files = [file for file in self._files.values() if file.kind != "sidecar"]
        if not files:
            raise PredictionInputError(
                f"no file was sent; pictures end in {', '.join(PICTURE_EXTENSIONS)}, recordings in .iq or others"
            )
        if sum(file.kind == "recording" for file in files) > 1:
            leading = await in_file_thread(_leading_recordings, self._folder.path)
            files = [file for file in files if file.kind == "picture" or file.path in leading]
        return tuple(self._content(file) for file in files)

    def _content(self, file: "_File") -> Content:
        if file.kind == "picture":
            data, file.buffer = bytes(file.buffer), bytearray()
            return Content(file.name, "picture", data, file.path)
        reading = self._reading
        return Content(
            file.name,
            "recording",
            path=file.path,
            datatype=reading.datatype,
            sample_rate=reading.sample_rate,
            center_frequency=reading.center_frequency,
        )


class _File:
    """One file on its way: in ``buffer`` is what was not written yet."""

    __slots__ = ("buffer", "disk_name", "is_on_disk", "kind", "name", "path", "size_bytes")

    def __init__(self, name: str, disk_name: str) -> None:
        self.name = name
        self.disk_name = disk_name
        self.kind = _kind_of(disk_name)
        self.buffer = bytearray()
        self.size_bytes = 0
        self.is_on_disk = False
        self.path: Path | None = None


def _disk_name(name: str) -> str:
    """The last part of a name as it was sent. Raises PredictionInputError for one that no file should have."""
    last = PurePosixPath(name).name
    try:
        _NAME.validate_python(last)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PredictionInputError(f"{name[:200]!r} is no name of a file: {reason}") from None
    if last.startswith(".") or len(name) > 1000:
        raise PredictionInputError(f"{name[:200]!r} is no name of a file: it is hidden or too long")
    return last


def _kind_of(name: str) -> FileKind:
    """What a file is by its ending. Raises PredictionInputError."""
    ending = PurePosixPath(name).suffix.lower()
    if ending in PICTURE_EXTENSIONS:
        return "picture"
    if ending in RECORDING_ENDINGS:
        return "recording"
    if ending == _SIDECAR:
        return "sidecar"
    known = ", ".join((*PICTURE_EXTENSIONS, *RECORDING_ENDINGS))
    raise PredictionInputError(f"{name!r} ends in nothing that tells a picture or a recording: {known}")


def _leading_recordings(folder: Path) -> Sequence[Path]:
    """The recordings in a folder, each once. Raises PredictionInputError."""
    try:
        return find_recordings(folder)
    except WorkError as error:
        raise PredictionInputError(str(error)) from None
