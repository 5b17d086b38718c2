"""Files that a request sent and that are needed only until it is answered.

Owns the folder ``spool`` in the state folder: in it a hidden folder for each process, and in that one for each request. A process holds
a lock on its folder as long as it lives, so that what others left behind can be told from what is in use. Everything here blocks: call
it in a thread.
"""

import fcntl
import secrets
import shutil
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from actors.files.disk_room import require_room
from serve_app.receiving import disk_full, is_full

_FOLDER: Final = "spool"
_LOCK: Final = "lock"


class Spool:
    """Where this process keeps the files of requests. Its folder is made when the first file comes."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / _FOLDER
        self._own: Path | None = None
        self._lock_file: BinaryIO | None = None
        self._guard = threading.Lock()

    def make_folder(self) -> Path:
        """Make a folder for one request."""
        with self._guard:
            own = self._own or self._begin()
        folder = own / secrets.token_hex(8)
        folder.mkdir(mode=0o700)
        return folder

    def clear_leftovers(self) -> None:
        """Remove what processes left that are gone."""
        with self._guard:
            for folder in self._root.glob(".*"):
                if folder != self._own and not _is_in_use(folder):
                    shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Remove all that is left."""
        with self._guard:
            if self._own is not None and self._lock_file is not None:
                shutil.rmtree(self._own, ignore_errors=True)
                self._lock_file.close()
            self._own = self._lock_file = None

    def _begin(self) -> Path:
        own = self._root.absolute() / f".{secrets.token_hex(8)}"
        own.mkdir(mode=0o700, parents=True)
        self._lock_file = (own / _LOCK).open("wb")
        fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._own = own
        return own


class SpoolFolder:
    """The files of one request, by name.

    Invariant: nothing of them is left once ``remove`` was called; before the first file there is no folder. Not for several threads at
    once.
    """

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._path: Path | None = None
        self._files: dict[str, BinaryIO] = {}

    @property
    def is_made(self) -> bool:
        """Whether there is anything to remove."""
        return self._path is not None

    @property
    def path(self) -> Path:
        """The folder, which is made if need be."""
        if self._path is None:
            self._path = self._spool.make_folder()
        return self._path

    def append(self, name: str, block: bytes | bytearray) -> None:
        """Write at the end of a file, which is made if need be. Raises RequestRefusedError where no room is left."""
        try:
            if name not in self._files:
                self._files[name] = (self.path / name).open("xb")
            require_room(self.path, len(block))
            self._files[name].write(block)
        except OSError as error:
            if is_full(error):
                raise disk_full(name) from None
            raise

    def finish(self, name: str) -> Path:
        """Close a file and tell where it lies. Raises RequestRefusedError where no room is left."""
        try:
            self._files[name].close()
        except OSError as error:
            if is_full(error):
                raise disk_full(name) from None
            raise
        return self.path / name

    def remove(self) -> None:
        """Remove the files and their folder."""
        for file in self._files.values():
            with suppress(OSError):  # what was not written yet found no room: the file goes anyway
                file.close()
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)


def _is_in_use(folder: Path) -> bool:
    """Whether a living process holds the lock of a folder."""
    try:
        with (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass  # its process came no further than to the folder, or somebody put it there
    return False
