"""Copies a file's bytes within the kernel.

Owns the choice of the cheapest copy that shares nothing with its source: ``copy_file_range`` moves no byte through this
process, and on file systems that can (XFS, Btrfs) it copies no byte at all until one side is changed. Hard links would be
cheaper still, but an edit of the copy would change the user's original.
"""

import errno
import os
from pathlib import Path
from typing import Final

from actors.learning.errors import UnreadablePictureError
from actors.learning.files import output_error

#: What says that the kernel or the file systems cannot do it in this way.
_NOT_POSSIBLE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
#: What speaks of the target; everything else does of the source.
_OF_THE_TARGET: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
_MOST_BYTES: Final = 1 << 30


def copy_file(source: Path | str, target: Path | str) -> None:
    """Copy the content of a file to a new one.

    Raises:
        UnreadablePictureError: The source cannot be read.
        OutputError: The target cannot be written.
    """
    try:
        reading = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(source, error) from error
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            while _copy_some(reading, writing):
                pass
        finally:
            os.close(writing)
    except OSError as error:
        if error.errno in _OF_THE_TARGET or error.filename is not None:
            raise output_error(Path(target), error) from error
        raise _unreadable(source, error) from error
    finally:
        os.close(reading)


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
