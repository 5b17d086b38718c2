"""The folders that requests may read and write, and the opening of files in them.

Owns the one rule about links: a link is followed if what it leads to lies inside a data root, whichever, and is refused
otherwise. It knows nothing of requests or settings and must not import torch.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import ClassVar, Final

from actors.files.errors import WorkError

#: Where Linux tells the path of an open file; elsewhere its name is resolved once more.
_OPEN_FILES: Final = "/proc/self/fd"
#: Without O_NONBLOCK, a pipe that was put in a file's place meanwhile would keep the caller waiting for ever.
_READ_FLAGS: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class OutsideRootsError(WorkError):
    """A file or folder outside the data roots, or in a part of them that is closed."""

    code: ClassVar[str] = "path_forbidden"


class NoRegularFileError(OSError):
    """A device, a pipe, a socket or a folder where a file was expected; it was not opened."""


@dataclass(frozen=True, slots=True)
class DataRoots:
    """Folders that are open to requests, less what is closed. Both are absolute and free of links; make them with ``of``."""

    folders: tuple[Path, ...]
    #: Files and folders that stay out of reach though they lie in a root, such as the service's own state.
    closed: tuple[Path, ...] = ()

    @classmethod
    def of(cls, folders: Iterable[Path], closed: Iterable[Path] = ()) -> "DataRoots":
        """Make roots of folders that may be links themselves."""
        return cls(tuple(path.resolve() for path in folders), tuple(path.resolve() for path in closed))

    def only(self, folder: Path) -> "DataRoots":
        """The same closed parts, but with this one folder as the only root. It must be free of links."""
        return DataRoots((folder,), self.closed)

    def also(self, folder: Path) -> "DataRoots":
        """The same with one root more, which is open on purpose wherever it lies. It must be free of links."""
        return DataRoots((*self.folders, folder), self.closed)

    def holds(self, path: Path) -> bool:
        """Tell whether a path that is absolute and free of links is open to requests."""
        return self._holds(str(path))

    def _holds(self, path: str) -> bool:
        return any(_lies_in(path, folder) and not self._closes(path, folder) for folder in self.folders)

    def _closes(self, path: str, root: Path) -> bool:
        """Tell whether a path is closed to those who come through a root; one that lies inside a closed folder was opened on purpose."""
        return any(_lies_in(path, each) and _lies_in(str(each), root) for each in self.closed)

    def locate(self, path: Path) -> Path:
        """Follow all links of a path; what it leads to need not exist.

        Raises:
            OutsideRootsError: It leads out of the roots, or in a circle.
        """
        try:
            located = path.resolve()
        except (OSError, RuntimeError) as error:
            raise OutsideRootsError(f"{path} cannot be resolved", "Is it a link that leads to itself?") from error
        if not self.holds(located):
            raise _outside(path)
        return located

    def open(self, path: Path) -> BufferedReader:
        """Open a regular file for reading.

        What was really opened is looked at afterwards, so that nobody gains from changing a link in between.

        Raises:
            OutsideRootsError: It leads out of the roots.
            NoRegularFileError: It is no file; devices and pipes are not even opened, since that can wait or do something.
            OSError: It is missing or may not be read.
        """
        _require_regular(path, path.stat())
        descriptor = os.open(path, _READ_FLAGS)
        try:
            _require_regular(path, os.fstat(descriptor))
            is_inside = self._holds(_path_of(descriptor, path))
        except BaseException:
            os.close(descriptor)
            raise
        if not is_inside:
            os.close(descriptor)
            raise _outside(path)
        return os.fdopen(descriptor, "rb")


#: No bounds: for callers that read their own files.
ANYWHERE: Final = DataRoots((Path("/"),))


def _lies_in(path: str, folder: Path) -> bool:
    """Compare by text, ten times faster than paths do: it is asked for every picture."""
    prefix = str(folder)
    return path == prefix or path.startswith(prefix if prefix == "/" else f"{prefix}/")


def _outside(path: Path) -> OutsideRootsError:
    return OutsideRootsError(
        f"{path} is outside the data roots", "Move or copy it into one, or start the service with one more --data-root."
    )


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NoRegularFileError(0, "it is no regular file", str(path))


def _path_of(descriptor: int, path: Path) -> str:
    """The path of an open file, free of links. Without Path, which takes several times as long."""
    try:
        return os.readlink(f"{_OPEN_FILES}/{descriptor}")  # noqa: PTH115
    except OSError:
        return str(path.resolve())
