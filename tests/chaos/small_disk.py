"""A small disk of its own that a test can fill, where the machine lets it be mounted."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = bytes(1 << 16)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """A new disk in memory, mounted at a folder while the block runs; None where this user may not mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs"]
    made = subprocess.run(["mount", *options, str(folder)], check=False, capture_output=True) if os.geteuid() == 0 else None
    if made is None or made.returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that a disk has left; returns the file that took it."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(_CHUNK)
    return ballast
