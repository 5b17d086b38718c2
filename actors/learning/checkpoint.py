"""The complete state of a training on disk, and a thread that writes while the training goes on.

Owns the format of ``last.ckpt`` and its version. A checkpoint holds tensors and plain values only, so that reading one
never executes anything. It knows nothing of what the training does with the state.
"""

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast

import torch

from actors.files.atomic import write_atomically
from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.errors import CheckpointError

__all__ = [
    "BackgroundWriter",
    "ResumeState",
    "read_resume_state",
    "snapshot",
    "write_atomically",
    "write_resume_state",
    "write_tensors",
]

FORMAT_VERSION = 1


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


def snapshot(value: Any) -> Any:
    """Copy a state to the CPU, so that training may go on while the copy is written."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: snapshot(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [snapshot(item) for item in value]
    return value


def write_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write tensors and plain values atomically, in torch's format.

    Raises:
        OutputError: As ``write_atomically``.
    """
    write_atomically(path, lambda file: _save(content, file))


def _save(content: Mapping[str, Any], file: BinaryIO) -> None:
    """Save in torch's format; where the disk fails, raise its own error and not the one that torch's writer makes of it."""
    watched = _WatchedFile(file)
    try:
        torch.save(dict(content), cast("BinaryIO", watched))
    except RuntimeError:
        if watched.failure is not None:
            raise watched.failure from None
        raise


class _WatchedFile:
    """A file that remembers what went wrong when it was written to."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write like the file itself."""
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """Flush like the file itself."""
        try:
            self._file.flush()
        except OSError as error:
            self.failure = error
            raise


def write_resume_state(path: Path, state: ResumeState) -> None:
    """Write a checkpoint atomically.

    Raises:
        OutputError: As ``write_atomically``.
    """
    write_tensors(path, {item.name: getattr(state, item.name) for item in fields(state)})


def read_resume_state(path: Path, *, roots: DataRoots = ANYWHERE) -> ResumeState:
    """Read a checkpoint onto the CPU.

    Raises:
        OutsideRootsError: It is a link that leads out of ``roots``.
        CheckpointError: It is missing, damaged, no checkpoint of ours, or of another format version.
    """
    hint = "Start the training anew, or resume from another task."
    try:
        with roots.open(path) as file:
            content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint at {path}", hint) from error
    except (pickle.UnpicklingError, OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} is no readable checkpoint: {error}", hint) from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise CheckpointError(f"{path} has format version {version}, not {FORMAT_VERSION}", hint)
    try:
        return ResumeState(**content)
    except TypeError as error:
        raise CheckpointError(f"{path} lacks a part of its state: {error}", hint) from error


class BackgroundWriter:
    """Runs one piece of writing at a time in a thread of its own.

    At most one piece is in flight: handing over the next waits for it. A failure is raised to whoever hands over the
    next piece, or waits; nothing is handed over after it.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._in_flight: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # After another error the write in flight is still finished, but its own failure would hide the first.
        self._pool.shutdown(wait=True)
        if kind is None:
            self.wait()

    def hand_over(self, write: Callable[[], None]) -> None:
        """Run ``write`` in the background, after the piece before it is done."""
        self.wait()
        self._in_flight = self._pool.submit(write)

    def wait(self) -> None:
        """Wait until nothing is in flight, and raise what went wrong."""
        in_flight, self._in_flight = self._in_flight, None
        if in_flight is not None:
            in_flight.result()
