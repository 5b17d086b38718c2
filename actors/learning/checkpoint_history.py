"""The two newest checkpoints of a training: which one to continue from, and how a new one takes its place.

Owns the rule that makes a crash harmless. A new checkpoint is published in three steps: the list that names it and the present
``last.ckpt``, then that one gets the name ``previous.ckpt`` too, then the new one becomes ``last.ckpt``. Whatever comes between two of
them, one of the two files is whole and listed, and it is never older than the last but one. How files are published is not known here.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.checkpoint import FileDigest, ResumeState, read_listed_state
from actors.learning.checkpoint_list import CheckpointEntry, CheckpointList, read_checkpoint_list
from actors.learning.errors import CheckpointError
from actors.learning.plan import CHECKPOINT_LIST, PREVIOUS_STATE, RESUME_STATE


@dataclass(frozen=True, slots=True)
class FoundState:
    """A state to continue from, and the file that held it."""

    state: ResumeState
    path: Path
    entry: CheckpointEntry
    #: What was wrong with a newer one, for the user to know.
    warnings: tuple[str, ...] = ()


def read_newest_state(path: Path, *, roots: DataRoots = ANYWHERE) -> FoundState:
    """Read the newest good checkpoint onto the CPU.

    Args:
        path: ``last.ckpt`` or ``previous.ckpt`` of an output folder, which stand for both: the second is read where the first is
            damaged or missing. A file of any other name is read as it is.
        roots: Where the files must lie, links followed.

    Raises:
        OutsideRootsError: A file is a link that leads out of ``roots``.
        CheckpointError: None of them can be used.
        CheckpointUnavailableError: The machine could not read one of them. The other is not read instead, since it may be the older one.
    """
    if path.name not in {RESUME_STATE, PREVIOUS_STATE}:
        return _read(path, None, roots)
    folder, warnings = path.parent, []
    try:
        listed = read_checkpoint_list(folder, roots=roots)
    except CheckpointError as error:
        listed = None
        warnings.append(f"{error.message}; checkpoints are taken as they are")
    try:
        found = _read(folder / RESUME_STATE, listed, roots)
    except CheckpointError as error:
        found = _read_previous(folder, listed, roots, instead_of=error)
        warnings.append(f"{error.message}; going on from {PREVIOUS_STATE} instead, which holds {found.entry}")
    return FoundState(found.state, found.path, found.entry, tuple(warnings))


def _read_previous(folder: Path, listed: CheckpointList | None, roots: DataRoots, *, instead_of: CheckpointError) -> FoundState:
    """Read the last but one. Raises CheckpointError that names both where it is no better, or the first's where there is none."""
    if not (folder / PREVIOUS_STATE).is_file():
        raise instead_of
    try:
        return _read(folder / PREVIOUS_STATE, listed, roots)
    except CheckpointError as error:
        problem = f"neither of two checkpoints can be used: {instead_of.message}; {error.message}"
        raise CheckpointError(problem, error.hint) from error


def _read(path: Path, listed: CheckpointList | None, roots: DataRoots) -> FoundState:
    """Read one checkpoint, one of those listed where there is a list."""
    allowed = None if listed is None else [entry.sha256 for entry in listed.checkpoints]
    state, digest = read_listed_state(path, allowed, roots=roots)
    entry = listed.entry_of(digest.sha256) if listed is not None else None
    return FoundState(state, path, entry or _entry_of(state, digest, datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)))


def _entry_of(state: ResumeState, digest: FileDigest, written_at: datetime) -> CheckpointEntry:
    return CheckpointEntry(
        sha256=digest.sha256,
        bytes=digest.size_bytes,
        epoch=state.progress["epoch"],
        position=state.progress["position"],
        written_at=written_at.isoformat(timespec="seconds"),
    )


class CheckpointHistory:
    """What the one training that writes into a folder knows of the checkpoints there.

    Invariant: ``_newest`` is the entry of a good checkpoint of this training in the file ``_held_by``. What else lies there, damaged
    or of another training, is never kept as ``previous.ckpt``.
    """

    def __init__(self, folder: Path, task_id: str) -> None:
        self._folder = folder
        self._task_id = task_id
        self._newest: CheckpointEntry | None = None
        self._held_by = RESUME_STATE

    def adopt(self, found: FoundState) -> None:
        """Go on from a checkpoint that was found in this folder."""
        self._newest, self._held_by = found.entry, found.path.name

    def add(self, state: ResumeState, digest: FileDigest) -> CheckpointList:
        """Tell what the list says once a state is published."""
        entry = _entry_of(state, digest, datetime.now(tz=UTC))
        return CheckpointList(self._task_id, (entry,) if self._newest is None else (entry, self._newest))

    def succession(self, staged_state: Path, staged_list: Path) -> Sequence[tuple[Path, str]]:
        """Tell which files to publish under which names, in which order."""
        new_state, new_list = (staged_state, RESUME_STATE), (staged_list, CHECKPOINT_LIST)
        if self._newest is None:
            # What is listed here, if anything, is another training's: it holds until there is something to list.
            return [new_state, new_list]
        last = self._folder / RESUME_STATE
        if self._held_by != RESUME_STATE or not last.is_file():
            return [new_list, new_state]
        return [new_list, (_second_name(last, staged_state.with_name(PREVIOUS_STATE)), PREVIOUS_STATE), new_state]

    def published(self, listed: CheckpointList) -> None:
        """Take note that the list of ``add`` and its newest checkpoint are in place."""
        self._newest, self._held_by = listed.checkpoints[0], RESUME_STATE


def _second_name(last: Path, name: Path) -> Path:
    """Give ``last.ckpt`` a second name, and tell which of the two to publish.

    To rename the file itself would leave a moment without a ``last.ckpt``, and not a short one: the file system frees the blocks of the
    checkpoint that is replaced. Only where it knows no second names is that so.
    """
    name.unlink(missing_ok=True)
    try:
        os.link(last, name, follow_symlinks=False)
    except OSError:
        return last
    return name
