"""A disk of a few megabytes that a test may fill."""

import contextlib
import os
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, *, megabytes=4, options="exec"):
    """Mount a small file system in memory on a new folder; the test is left out where nobody may mount one.

    With REQUIRE_SMALL_DISK=1 it fails there instead.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,{options}", "tmpfs", folder]
    mount = subprocess.run(command, capture_output=True, text=True, check=False)
    if mount.returncode and os.environ.get("REQUIRE_SMALL_DISK") == "1":
        pytest.fail(f"REQUIRE_SMALL_DISK=1, and no small disk can be mounted: {mount.stderr.strip()}")
    if mount.returncode:
        pytest.skip("a full disk can be made only by those who may mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_up(folder):
    """Leave no room at all; returns the file to remove for there to be some again."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    with ballast.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0")
    assert os.statvfs(folder).f_bavail == 0
    return ballast
