"""Folders as pages of entries. Blocking: call it in a thread.

Owns the order of listings, their cursors, and what is left out of them: hidden names, and whatever leads out of the data roots.
"""

import base64
import binascii
import heapq
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Final

from actors.files.data_roots import DataRoots, OutsideRootsError
from serve_app.http_errors import wrong_cursor
from serve_app.schemas.data import EntryKind

#: What a cursor of these lists looks like; here for the OpenAPI document.
CURSOR_PATTERN: Final = "^[A-Za-z0-9_-]*={0,2}$"


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder. Size and time are None where the entry cannot be used, the size of a folder too."""

    name: str
    #: Its place, as far as it lies inside the roots by its name; links are not followed in it.
    path: Path
    kind: EntryKind
    size_bytes: int | None = None
    modified_at: float | None = None


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file somewhere below a folder."""

    path: PurePosixPath
    size_bytes: int
    modified_at: float


def list_folder(folder: Path, roots: DataRoots, *, cursor: str | None, limit: int) -> tuple[list[Entry], str | None]:
    """One page of a folder, by name, and the cursor of the next page.

    Raises:
        RequestValidationError: the cursor is none of ours.
        OSError: the folder cannot be read.
    """
    after = decode_cursor(cursor)
    with os.scandir(folder) as entries:
        names = (each.name for each in entries if not each.name.startswith(".") and each.name > after)
        page = heapq.nsmallest(limit + 1, names)
    entries_of_page = [describe(folder / name, roots) for name in page[:limit]]
    return entries_of_page, encode_cursor(page[limit - 1]) if len(page) > limit else None


def list_files(folder: Path, roots: DataRoots, *, cursor: str | None, limit: int) -> tuple[list[WrittenFile], str | None]:
    """One page of the regular files below a folder, by path, and the cursor of the next page. Links and what is closed are left out.

    Raises:
        RequestValidationError: the cursor is none of ours.
    """
    after = PurePosixPath(decode_cursor(cursor)).parts
    open_paths = (path for path in _paths_after(folder, after) if roots.holds(folder / path))
    paths = list(islice(open_paths, limit + 1))
    files = [file for path in paths[:limit] if (file := _describe_file(folder, path))]
    return files, encode_cursor(str(paths[limit - 1])) if len(paths) > limit else None


def describe(path: Path, roots: DataRoots) -> Entry:
    """What a path is, links followed as far as the roots allow."""
    unusable = Entry(path.name, path, EntryKind.UNUSABLE)
    try:
        path.name.encode()
        status = roots.locate(path).stat()
    except (OSError, OutsideRootsError, UnicodeEncodeError):
        return unusable
    if stat.S_ISDIR(status.st_mode):
        return Entry(path.name, path, EntryKind.FOLDER, modified_at=status.st_mtime)
    if stat.S_ISREG(status.st_mode):
        return Entry(path.name, path, EntryKind.FILE, status.st_size, status.st_mtime)
    return unusable


def encode_cursor(name: str) -> str:
    """The cursor that goes on after a name, which may be any bytes."""
    return base64.urlsafe_b64encode(os.fsencode(name)).decode("ascii")


def decode_cursor(cursor: str | None) -> str:
    """The name to go on after; empty for the first page. Raises RequestValidationError."""
    try:
        return os.fsdecode(base64.b64decode((cursor or "").encode("ascii"), altchars=b"-_", validate=True))
    except (binascii.Error, UnicodeEncodeError):
        raise wrong_cursor(cursor) from None


def _paths_after(folder: Path, after: tuple[str, ...]) -> Iterator[PurePosixPath]:
    """Yield the files below a folder in order, without reading folders that lie wholly before ``after``.

    Without recursion, which a deep enough tree would exhaust.
    """
    waiting = [(PurePosixPath(), True, after)]
    while waiting:
        path, is_folder, after = waiting.pop()
        if not is_folder:
            yield path
            continue
        for name, is_subfolder in sorted(_children(folder / path), reverse=True):
            is_reached = bool(after) and name == after[0]
            if (after and name < after[0]) or (is_reached and not is_subfolder):
                continue
            waiting.append((path / name, is_subfolder, after[1:] if is_reached else ()))


def _children(folder: Path) -> list[tuple[str, bool]]:
    """The names of the visible files and folders in a folder, and which are folders; none where it is gone."""
    try:
        with os.scandir(folder) as entries:
            return [
                (each.name, each.is_dir(follow_symlinks=False))
                for each in entries
                if not each.name.startswith(".") and (each.is_dir(follow_symlinks=False) or each.is_file(follow_symlinks=False))
            ]
    except OSError:
        return []


def _describe_file(folder: Path, path: PurePosixPath) -> WrittenFile | None:
    """A file's size and time; None where it has gone meanwhile."""
    try:
        status = (folder / path).lstat()
    except OSError:
        return None
    return WrittenFile(path, status.st_size, status.st_mtime)
