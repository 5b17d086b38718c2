"""Files that are whole or not there at all.

Owns atomic writing and the translation of a failed write into an error a user understands. It imports no torch, so that
anything may use it.
"""

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from actors.files.errors import DiskFullError, OutputError

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
#: What the mask of a usual process leaves of an ordinary file's rights; temporary files are born with 0600.
_ORDINARY_FILE_MODE = 0o644


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then give it that name.

    A reader sees the previous file or the complete new one, also after a crash or a power cut.

    Raises:
        DiskFullError: There is no room; the previous file is untouched and the temporary one gone.
        OutputError: The folder is missing or may not be written.
    """
    try:
        temporary = _write_temporary(path, write)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise output_error(path, error) from error


def write_text_atomically(path: Path, text: str) -> None:
    """Write a UTF-8 text file as ``write_atomically`` does."""
    write_atomically(path, lambda file: _write_all(file, text.encode("utf-8")))


def move_into_place(source: Path, target: Path) -> None:
    """Give a finished file its final name, durably; both must lie on one file system.

    Raises:
        OutputError: The target's folder is missing or may not be written.
    """
    try:
        source.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise output_error(target, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error


def output_error(path: Path, error: OSError) -> OutputError:
    """Say in the user's words why ``path`` could not be written."""
    if error.errno in _NO_ROOM:
        return DiskFullError(f"no room is left to write {path}", "Free some space there or choose another save_path.")
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {path}: {reason}", "Check that the folder exists and may be written.")


def _write_all(file: BinaryIO, content: bytes) -> None:
    """Write ``content``, returning nothing as a writer of ``write_atomically`` must."""
    file.write(content)


def _write_temporary(path: Path, write: Callable[[BinaryIO], None]) -> Path:
    """Write and sync a temporary file in the folder of ``path``; leave none behind on failure."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), _ORDINARY_FILE_MODE)
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder durable, on file systems that can.

    Raises:
        OSError: It cannot be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
