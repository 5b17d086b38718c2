"""Putting an attempt's files in place, so that an attempt that lost its lease can write nothing.

Every grant has a larger fencing token than all before it. An attempt writes into its own staging folder and hands each finished file
over with ``publish``, which renames it into the output folder only if no newer token has published there. The newest token is kept in
a file of the output folder, under a lock for the moment of the rename.
"""

import fcntl
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from actors.core.errors import StaleTokenError

_FENCE_NAME = ".fence"
_STAGING_NAMES = ".attempt-*"


@contextmanager
def hold_folder(folder: Path) -> Iterator[int]:
    """Keep every attempt from putting files in place in a folder, for the moment that one of its files is changed.

    Yields:
        The descriptor of the file that holds the newest token.

    Raises:
        OSError: The folder cannot be written.
    """
    descriptor = os.open(folder / _FENCE_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def find_staging(folder: Path) -> list[Path]:
    """The staging folders in an output folder, links left out; none where it cannot be read."""
    try:
        return [path for path in folder.glob(_STAGING_NAMES) if stat.S_ISDIR(path.lstat().st_mode)]
    except OSError:
        return []


def remove_staging(folder: Path) -> bool:
    """Remove what killed attempts left in an output folder that no unfinished task has; tells whether there was anything."""
    left = find_staging(folder)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return not all(path.exists() for path in left)


class FencedFolder:
    """The output folder of a task, as one attempt may use it. The ranks of a gang share the attempt's token and staging folder.

    Invariant: files appear under their final names whole or not at all, and only while this attempt's token is the newest.
    Links that somebody put in place of what is made here are never followed.
    """

    def __init__(self, folder: Path, token: int, rank: int = 0) -> None:
        """Create the output and the staging folder if need be, and take the fence. Ranks may come in any order.

        Raises:
            StaleTokenError: a newer attempt has been here.
            OSError: the folder cannot be written.
        """
        self.folder = folder
        self.token = token
        self._rank = rank
        self.staging = folder / f".attempt-{token}"
        folder.mkdir(parents=True, exist_ok=True)
        with self._fence():
            self._sweep()
            if self.staging.is_symlink():
                self.staging.unlink()
            self.staging.mkdir(exist_ok=True)

    def publish(self, staged: Path, name: str) -> None:
        """Rename a finished file of the staging folder to its place ``name`` (relative, sub-folders allowed).

        Raises:
            StaleTokenError: a newer attempt owns the folder; the file stays in staging.
        """
        self.publish_all([(staged, name)])

    def publish_all(self, files: Sequence[tuple[Path, str]]) -> None:
        """Publish many finished files under one lock; a crash between two leaves the first ones in place.

        Per file the lock and the look at its folder cost more than the rename itself.

        Raises:
            StaleTokenError: As ``publish``.
        """
        folders = {name.rpartition("/")[0] for _, name in files}
        self._refuse_outside(folders, [name.rpartition("/")[2] for _, name in files])
        with self._fence():
            for folder in folders:
                (self.folder / folder).mkdir(parents=True, exist_ok=True)
            for staged, name in files:
                staged.replace(f"{self.folder}/{name}")

    def close(self) -> None:
        """Remove the staging folder and what is left in it; of a gang, the first rank does, which made all that is in it."""
        if self._rank == 0:
            shutil.rmtree(self.staging, ignore_errors=True)

    def _refuse_outside(self, folders: Iterable[str], names: Iterable[str]) -> None:
        """Refuse names that lead out of the output folder, by themselves or through a link."""
        home = self.folder.resolve()
        for folder in folders:
            if not (self.folder / folder).resolve().is_relative_to(home):
                raise ValueError(f"{folder!r} leads out of the output folder")
        for name in names:
            if name in {"", ".", ".."}:
                raise ValueError(f"{name!r} is no name of a file")

    @contextmanager
    def _fence(self) -> Iterator[None]:
        """Hold the folder's lock, with the proof that no newer token has held it."""
        with hold_folder(self.folder) as descriptor:
            newest = int(os.pread(descriptor, 32, 0) or b"0")
            if newest > self.token:
                raise StaleTokenError(self.token, newest)
            if newest < self.token:
                os.pwrite(descriptor, str(self.token).encode(), 0)
            yield

    def _sweep(self) -> None:
        """Remove what older attempts left in their staging folders; they cannot publish any more."""
        for old in self.folder.glob(_STAGING_NAMES):
            if old != self.staging:
                shutil.rmtree(old, ignore_errors=True)
