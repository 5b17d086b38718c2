"""Gives a file's content a second name: as a copy of its bytes, or as a hard link.

Owns the choice of the cheapest copy that shares nothing with its source: ``copy_file_range`` moves no byte through this
process, and on file systems that can (XFS, Btrfs) it copies no byte at all until one side is changed. A hard link is
cheaper still and takes no room, but whoever edits one of the two files in place edits both: users must ask for it.
"""

import errno
import os
from pathlib import Path
from typing import Final

from actors.files.atomic import output_error
from actors.files.data_roots import ANYWHERE, DataRoots, OutsideRootsError
from actors.learning.errors import UnreadablePictureError

#: What says that the kernel or the file systems cannot do it in this way.
_NOT_POSSIBLE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
_OPEN_FILES: Final = "/proc/self/fd"
#: What speaks of the target; everything else does of the source.
_OF_THE_TARGET: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_MOST_BYTES: Final = 1 << 30
_WRITE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_file(source: Path, target: Path | str, *, roots: DataRoots = ANYWHERE) -> None:
    """Copy the content of a file to a new one.

    Raises:
        UnreadablePictureError: The source cannot be read, or is a link that leads out of ``roots``.
        OutputError: The target cannot be written.
    """
    try:
        reading = roots.open(source)
    except OutsideRootsError as error:
        raise UnreadablePictureError(error.message, error.hint) from error
    except OSError as error:
        raise _unreadable(source, error) from error
    with reading:
        try:
            writing = os.open(target, _WRITE_FLAGS, 0o644)
            try:
                while _copy_some(reading.fileno(), writing):
                    pass
            finally:
                os.close(writing)
        except OSError as error:
            if error.errno in _OF_THE_TARGET or error.filename is not None:
                raise output_error(Path(target), error) from error
            raise _unreadable(source, error) from error


def link_file(source: Path, target: Path | str, *, roots: DataRoots = ANYWHERE) -> None:
    """Give the content of a file one more name; where the file systems cannot, copy it.

    Raises:
        UnreadablePictureError, OutputError: As ``copy_file``.
    """
    try:
        with roots.open(source) as reading:
            # The file that was looked at, whatever its name leads to by now. Only with src_dir_fd, though an absolute path
            # needs none, does Python follow the link that stands for an open file.
            os.link(f"{_OPEN_FILES}/{reading.fileno()}", target, src_dir_fd=reading.fileno(), follow_symlinks=True)
    except OutsideRootsError as error:
        raise UnreadablePictureError(error.message, error.hint) from error
    except OSError as error:
        if error.errno in _OF_THE_TARGET:
            raise output_error(Path(target), error) from error
        # Also where the source cannot be read: the copy says so in its own words.
        copy_file(source, target, roots=roots)


def _copy_some(reading: int, writing: int) -> int:
    """Copy a stretch from where both files stand; 0 at the end."""
    try:
        return os.copy_file_range(reading, writing, _MOST_BYTES)
    except OSError as error:
        if error.errno not in _NOT_POSSIBLE:
            raise
    return os.write(writing, os.read(reading, 1 << 20))


def _unreadable(source: Path | str, error: OSError) -> UnreadablePictureError:
    """Name the file and the reason."""
    return UnreadablePictureError(f"{source} cannot be read: {error.strerror}", "Check its rights.")
