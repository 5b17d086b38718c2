"""Files: what a task wrote, what lies in the data roots, and bringing files to and fro. Each function is a method of both clients."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

import httpx

from cluster.client import contract
from cluster.client.bodies import BINARY, OnProgress, Piece, one_file
from cluster.client.flows import Do, Flow, Items, Pause, Read, ask_bytes, begin, is_passing, pages, unreachable
from cluster.client.operation import Call
from cluster.client.retry import Manner, Tries
from cluster.service_errors import ApiError, BrokenTransferError
from serve_app.schemas.data import DataEntry, DataResponse, FileBody, TaskFilesResponse

#: The service may take so long to put a large file in its place.
_PUBLISHING_S: Final = 300.0


def files(manner: Manner, task_id: str, *, page_size: int = 1000) -> Items[FileBody]:
    """Yield the files in the output folder of a task, by path."""
    return pages(manner, partial(_files_after, task_id, page_size), _files, lambda page: page.next_cursor)


def read_file(manner: Manner, task_id: str, path: str) -> Flow[bytes]:
    """The content of one file that a task wrote, small enough for memory. ``path`` is one of ``files()``."""
    return ask_bytes(manner, contract.FILE.call(task_id=task_id, path=path))


def download(
    manner: Manner, task_id: str, path: str, to: str | PathLike[str], *, on_progress: OnProgress | None = None
) -> Flow[Path]:
    """Fetch one file that a task wrote, and return where it is. It appears whole or not at all.

    A lost connection is taken up again where it was, as long as the file stays the same.

    Args:
        manner: of the client.
        task_id: of the task.
        path: one of ``files()``.
        to: the file to be, or a folder, which it is then put into under its own name.
        on_progress: called with the bytes that are there, and with all there are.

    Raises:
        BrokenTransferError: the file changed meanwhile.
    """
    target = Path(to) / Path(path).name if Path(to).is_dir() else Path(to)
    partial_file = target.with_name(f".{target.name}.{uuid4().hex[:8]}.part")
    try:
        with partial_file.open("wb") as file:
            yield from _fetch(manner.patiently(), contract.FILE.call(task_id=task_id, path=path), file, on_progress)
        partial_file.replace(target)
    finally:
        with suppress(FileNotFoundError):
            partial_file.unlink()
    return target


def data(path: str | None = None, *, limit: int = 100, cursor: str | None = None) -> Call[DataResponse]:
    """One page of a folder inside the data roots; without a path, the roots. ``data_entries()`` walks through all pages."""
    return contract.DATA.call(query={"path": path, "limit": limit, "cursor": cursor})


def data_entries(manner: Manner, path: str | None = None, *, page_size: int = 1000) -> Items[DataEntry]:
    """Yield the files and folders in a folder inside the data roots, by name."""
    return pages(manner, partial(_data_after, path, page_size), _entries, lambda page: page.next_cursor)


def upload(
    source: str | PathLike[str] | bytes, path: str, *, overwrite: bool = False, on_progress: OnProgress | None = None
) -> Call[DataEntry]:
    """Put a file of this machine, or bytes, into a data root; it appears there whole or not at all.

    Repeated only where nothing reached the service.

    Args:
        source: the file, or its content.
        path: the file to be, as requests name paths; folders that are missing are made.
        overwrite: whether a file of that name may be replaced.
        on_progress: called with the bytes that are through, and with all there are.
    """
    piece: Piece = source if isinstance(source, bytes) else Path(source)
    body = one_file(piece, media_type=BINARY, on_progress=on_progress)
    return replace(contract.UPLOAD.call(query={"path": path, "overwrite": overwrite or None}, body=body), timeout_s=_PUBLISHING_S)


def _fetch(manner: Manner, call: Call[bytes], file: BinaryIO, on_progress: OnProgress | None) -> Flow[None]:
    """Write the answer into a file, over lost connections. Raises ApiError, UnreachableError, BrokenTransferError."""
    tries, version = Tries(manner), ""
    while True:
        try:
            wanted = {"Range": f"bytes={file.tell()}-", "If-Range": version} if file.tell() else {}
            answer = yield from begin(replace(call, headers={"Accept-Encoding": "identity"} | wanted))
            if file.tell() and answer.status != HTTPStatus.PARTIAL_CONTENT:
                raise BrokenTransferError(f"{call.path} changed while it was fetched; fetch it again")
            version = answer.headers.get("etag", "")
            whole = file.tell() + int(answer.headers.get("content-length", "0"))
            while block := (yield Read()):
                tries.succeeded()
                yield Do(partial(file.write, block))
                if on_progress is not None:
                    on_progress(file.tell(), whole)
            yield Do(partial(_settle, file))
            return
        except httpx.TransportError as error:
            pause = tries.pause_s()
            if pause is None:
                raise unreachable(manner, error) from error
        except ApiError as error:
            pause = tries.pause_s(error.retry_after_s) if is_passing(error, knows_the_service=bool(version)) else None
            if pause is None:
                raise
        yield Pause(pause)


def _settle(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _files_after(task_id: str, limit: int, cursor: str | None) -> Call[TaskFilesResponse]:
    return contract.FILES.call(query={"limit": limit, "cursor": cursor}, task_id=task_id)


def _data_after(path: str | None, limit: int, cursor: str | None) -> Call[DataResponse]:
    return data(path, limit=limit, cursor=cursor)


def _files(page: TaskFilesResponse) -> Iterable[FileBody]:
    return page.files


def _entries(page: DataResponse) -> Iterable[DataEntry]:
    return page.entries
