"""The complete state of a training as one file.

Owns the format of ``last.ckpt`` and its version. A checkpoint holds tensors and plain values only, so that reading one
never executes anything. It knows neither what the training does with the state nor which other checkpoints there are.
"""

import errno
import hashlib
import pickle
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import torch

from actors.files.atomic import write_atomically
from actors.files.data_roots import ANYWHERE, DataRoots, NoRegularFileError
from actors.learning.errors import CheckpointError, CheckpointUnavailableError

__all__ = [
    "FileDigest",
    "ResumeState",
    "read_listed_state",
    "read_resume_state",
    "write_atomically",
    "write_resume_state",
    "write_tensors",
]

FORMAT_VERSION = 1
#: What torch's reader was seen to raise on files with some bytes changed; of OSErrors, EINVAL for a place that is in no file.
_UNREADABLE: Final = (
    pickle.UnpicklingError,
    struct.error,
    EOFError,
    RuntimeError,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
_HINT: Final = "Start the training anew, or resume from another task."
_UNAVAILABLE_HINT: Final = "The attempt can be repeated; if it fails again, look at the disk and the memory of the machine."


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumeState:
    """All that decides how a training goes on, taken between two batches.

    Nested values are tensors, numbers, strings, and lists and dicts of them.
    """

    #: What must not change between attempts: model, num_classes, classes, image_size.
    identity: dict[str, Any]
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    #: Epochs and pictures done, sums and results so far: what ``Progress.as_dict`` gives.
    progress: dict[str, Any]
    rng_cpu: torch.Tensor
    rng_cuda: torch.Tensor | None
    seed: int
    threads: int
    batch_size: int
    #: Fingerprint of the training pictures.
    dataset: str
    #: Names of the files written so far; known when the state itself is written.
    files: list[str] = field(default_factory=list)
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class FileDigest:
    """What a file holds, in short."""

    sha256: str
    size_bytes: int


def write_tensors(path: Path, content: Mapping[str, Any]) -> FileDigest:
    """Write tensors and plain values atomically, in torch's format, and digest them on the way.

    Raises:
        OutputError: As ``write_atomically``.
    """
    digests: list[FileDigest] = []
    write_atomically(path, lambda file: digests.append(_save(content, file)))
    return digests[-1]


def _save(content: Mapping[str, Any], file: BinaryIO) -> FileDigest:
    """Save in torch's format; where the disk fails, raise its own error and not the one that torch's writer makes of it."""
    watched = _WatchedFile(file)
    try:
        torch.save(dict(content), cast("BinaryIO", watched))
    except RuntimeError:
        if watched.failure is not None:
            raise watched.failure from None
        raise
    return FileDigest(watched.digest.hexdigest(), watched.size_bytes)


class _WatchedFile:
    """A file, written from its beginning to its end, that remembers what was written and what went wrong."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: Any) -> int:
        """Write like the file itself."""
        try:
            written = self._file.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.digest.update(data)
        self.size_bytes += written
        return written

    def flush(self) -> None:
        """Flush like the file itself."""
        try:
            self._file.flush()
        except OSError as error:
            self.failure = error
            raise


def write_resume_state(path: Path, state: ResumeState) -> FileDigest:
    """Write a checkpoint atomically.

    Raises:
        OutputError: As ``write_atomically``.
    """
    return write_tensors(path, {item.name: getattr(state, item.name) for item in fields(state)})


def read_resume_state(path: Path, *, roots: DataRoots = ANYWHERE) -> ResumeState:
    """Read a checkpoint onto the CPU.

    Raises:
        OutsideRootsError: It is a link that leads out of ``roots``.
        CheckpointError: It is missing, damaged, no checkpoint of ours, or of another format version.
        CheckpointUnavailableError: The machine could not read it, which says nothing of the file.
    """
    return read_listed_state(path, None, roots=roots)[0]


def read_listed_state(path: Path, listed: Collection[str] | None, *, roots: DataRoots = ANYWHERE) -> tuple[ResumeState, FileDigest]:
    """Read a checkpoint onto the CPU whose content is among those listed.

    Args:
        path: The checkpoint.
        listed: The SHA-256 digests that it may have, in hexadecimal digits; None takes what can be read.
        roots: Where it must lie, links followed.

    Raises:
        OutsideRootsError, CheckpointError, CheckpointUnavailableError: As ``read_resume_state``; a file whose digest is not listed is
            damaged, and one whose digest is listed never is.
    """
    try:
        with roots.open(path) as file:
            digest = FileDigest(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
            if listed is not None and digest.sha256 not in listed:
                raise CheckpointError(f"{path} does not hold what was written there", _HINT)
            file.seek(0)
            content = _load(file, path, is_whole=listed is not None)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(f"there is no checkpoint at {path}", _HINT) from error
    except NoRegularFileError as error:
        raise CheckpointError(f"{path} is no readable checkpoint: {error}", _HINT) from error
    except (OSError, MemoryError) as error:
        raise _unavailable(path, error) from error
    return _state_of(content, path), digest


def _load(file: BinaryIO, path: Path, *, is_whole: bool) -> Any:
    """Let torch read a file; what goes wrong with one that ``is_whole`` is the machine's doing, such as a lack of memory."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except (*_UNREADABLE, OSError) as error:
        is_elsewhere = isinstance(error, OSError) and error.errno != errno.EINVAL
        if is_whole or is_elsewhere:
            raise _unavailable(path, error) from error
        raise CheckpointError(f"{path} is no readable checkpoint: {error}", _HINT) from error


def _unavailable(path: Path, error: BaseException) -> CheckpointUnavailableError:
    return CheckpointUnavailableError(f"{path} cannot be read at present: {error}", _UNAVAILABLE_HINT)


def _state_of(content: Any, path: Path) -> ResumeState:
    """Take a state out of what a file held."""
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format version {version}, not {FORMAT_VERSION}", _HINT)
    try:
        return ResumeState(**content)
    except TypeError as error:
        raise CheckpointError(f"{path} lacks a part of its state: {error}", _HINT) from error
