"""Small notes of JSON in the state folder, one file each, that outlive whoever wrote them.

A reader gets a whole note or none. Writing never fails for want of room: who cannot leave a note must still be able to work.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def write_note(path: Path, content: Any) -> None:
    """Write a note as a whole. Where the disk is full it is put in the place of the one before, if there is one.

    The place of an old note is there already, so that the disk has nothing to find; a note that grew may still be refused. Then the old
    one, or none, is what readers get.
    """
    data = json.dumps(content).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, data)
    except OSError as error:
        print(f"{path}: {error.strerror}; writing it in place", file=sys.stderr, flush=True)  # noqa: T201 - the process's own log
        with contextlib.suppress(OSError):
            _overwrite(path, data)


def read_note(path: Path) -> Any:
    """What a note holds; None where there is none, or it cannot be read."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _replace(path: Path, data: bytes) -> None:
    draft = path.with_name(f".{path.stem}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        # Spaces behind the content mean nothing to JSON, and hide what was longer.
        file.write(data.ljust(os.fstat(file.fileno()).st_size))
