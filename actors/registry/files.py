"""The registry's files in the state folder: each is named after what it holds.

Owns their names, their durable writing and their removal. A file comes in under a name of its own first, since its content is known only
when it is copied; what a crash leaves of that goes at the next start. It does not know which versions need which files.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from actors.files.atomic import make_folder, move_into_place, write_atomically
from actors.files.disk_room import require_room
from actors.files.errors import DiskFullError

_INCOMING: Final = ".incoming-"
_CHUNK_BYTES: Final = 1 << 20
_USUAL_ENDING: Final = re.compile(r"\.[A-Za-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class StagedFile:
    """A file that has come in and is not kept yet.

    Attributes:
        path: where it lies for now.
        name: under which it will be kept: its SHA-256 with its ending.
        sha256: of its content, in hexadecimal.
        size_bytes: of its content.
    """

    path: Path
    name: str
    sha256: str
    size_bytes: int


class ModelFiles:
    """A folder of files that never change. Blocking; which of them stay is told by whoever knows all versions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stage(self, source: BinaryIO, ending: str) -> StagedFile:
        """Copy a stream into the folder and hash it on the way.

        Args:
            source: read from where it stands to its end; its size can be told beforehand.
            ending: of the name, with its dot; an unusual one is left out.

        Raises:
            OutputError: it cannot be written, or the stream cannot be read.
            DiskFullError: there is no room beside the disk's reserve; nothing was written.
        """
        make_folder(self._folder)
        self._require_room(_size_ahead(source))
        path = self._folder / f"{_INCOMING}{uuid4().hex}"
        digest = hashlib.sha256()

        def copy(target: BinaryIO) -> None:
            while chunk := source.read(_CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)

        write_atomically(path, copy)
        name = digest.hexdigest() + (ending.lower() if _USUAL_ENDING.fullmatch(ending) else "")
        return StagedFile(path, name, digest.hexdigest(), path.stat().st_size)

    def final_path(self, staged: StagedFile) -> Path:
        """Where a file will lie once it is kept."""
        return self._folder / staged.name

    def keep(self, staged: StagedFile) -> None:
        """Give a file its final name; where the same content lies there already, it is replaced by itself. Raises OutputError."""
        move_into_place(staged.path, self.final_path(staged))

    def discard(self, staged: StagedFile) -> None:
        """Remove a file that is not to be kept; nothing happens where it was kept."""
        staged.path.unlink(missing_ok=True)

    def remove_all_but(self, needed: Collection[str]) -> None:
        """Remove the files whose paths are not among those that versions need; what is coming in stays."""
        self._remove(lambda path: not path.name.startswith(_INCOMING) and str(path) not in needed)

    def remove_incoming(self) -> None:
        """Remove what a crash left half way; only before anything comes in."""
        self._remove(lambda path: path.name.startswith(_INCOMING))

    def _require_room(self, size_bytes: int) -> None:
        """Refuse what does not fit, with what the store and the logs may need. Raises DiskFullError."""
        try:
            require_room(self._folder, size_bytes)
        except OSError as error:
            told = f"no room is left for a file of {size_bytes} bytes in the state folder"
            raise DiskFullError(told, "Free some space there, or delete versions that nobody needs.") from error

    def _remove(self, is_doomed: Callable[[Path], bool]) -> None:
        """Remove files; one that cannot be removed stays, and harms nobody."""
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if is_doomed(path) and path.is_file():
                with suppress(OSError):
                    path.unlink()


def _size_ahead(source: BinaryIO) -> int:
    """Count what is left of a stream, which stays where it stands."""
    here = source.tell()
    end = source.seek(0, os.SEEK_END)
    source.seek(here)
    return end - here
