"""How much of a disk stays free.

Owns the reserve that nobody may fill, and the question whether something fits beside it. It writes nothing.
"""

import errno
import os
import shutil
from pathlib import Path
from typing import Final

#: Stays free whatever is sent or registered: the store and the logs lie on the same disk more often than not.
RESERVE_BYTES: Final = 1 << 30


def require_room(place: Path | int, size_bytes: int) -> None:
    """Make sure that a disk takes so much and still has its reserve. Raises OSError (no space left)."""
    if size_bytes + RESERVE_BYTES > shutil.disk_usage(place).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
