"""Looks at all recordings of a task before anything is made of them.

Owns which recordings there are, which of them can be used and why the others cannot. It reads headers and metadata, no
samples, and must not import torch: a submission is checked with it.

A recording that cannot be used is an entry in ``failures`` and never left out in silence; that no recording at all can be used is an error.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.preprocessing.errors import AllFilesFailedError
from actors.preprocessing.plan import RecordingHints
from actors.preprocessing.sources import SourceFile, SourceTree, printable
from actors.signals.errors import SignalError, UnreadableRecordingError
from actors.signals.frames import RecordingFrames, require_few_frames
from actors.signals.recipe import Recipe
from actors.signals.recording import Recording, find_recordings, open_recording

#: Pictures of one task: each is a file.
MOST_PICTURES: Final = 250_000


@dataclass(frozen=True, slots=True)
class RecordingTree:
    """The recordings of an input, by their paths below ``root``, sorted."""

    root: Path
    names: tuple[str, ...]

    @property
    def has_classes(self) -> bool:
        """Whether each first folder is a class: so it is unless a recording lies beside them."""
        return all("/" in name for name in self.names)

    @property
    def ignored_folders(self) -> frozenset[str]:
        """First folders that are not taken for classes, because a recording lies beside them."""
        return frozenset(name.partition("/")[0] for name in self.names if "/" in name and not self.has_classes)


@dataclass(slots=True)
class Survey:
    """What was found out of the recordings of a tree."""

    tree: RecordingTree
    opened: dict[str, Recording] = field(default_factory=dict)
    #: The frames of those that can be used, once the recipe is known.
    frames: dict[str, RecordingFrames] = field(default_factory=dict)
    #: The others, and why.
    failures: dict[str, SignalError] = field(default_factory=dict)

    def lay_out(self, recipe: Recipe) -> None:
        """Lay out the frames of the opened recordings.

        Raises:
            AllFilesFailedError: None has frames.
            RecipeError: There are more than a task may make.
        """
        for name, recording in self.opened.items():
            try:
                self.frames[name] = RecordingFrames(recording, recipe)
            except SignalError as error:
                self.failures[name] = error
        self.require_some(self.frames)
        require_few_frames(self.frames.values(), MOST_PICTURES)

    def require_some(self, usable: Mapping[str, object]) -> None:
        """Refuse to go on with nothing.

        Raises:
            AllFilesFailedError: There is no usable recording; the message names the first and its reason.
        """
        if not usable:
            name, error = next(iter(self.failures.items()))
            problem = f"none of the {len(self.failures)} recordings can be used; the first, {printable(name)}: {error.message}"
            raise AllFilesFailedError(problem, error.hint)

    def sources(self) -> SourceTree:
        """List all recordings for the print by which a later run knows whether they are still the same."""
        return SourceTree(self.tree.root, tuple(self._source(name) for name in self.tree.names), ())

    def _source(self, name: str) -> SourceFile:
        recording = self.opened.get(name)
        if recording is None:
            return SourceFile(name, 0, 0, self.failures[name].code)
        told = f"{recording.sample_rate} {recording.datatype.name} {recording.sample_count} {recording.captures}"
        try:
            status = recording.data_path.stat()
        except OSError:
            return SourceFile(name, 0, 0, UnreadableRecordingError.code)
        return SourceFile(name, status.st_size, status.st_mtime_ns, told)


def list_recordings(source: Path, *, roots: DataRoots = ANYWHERE) -> RecordingTree:
    """List the recordings of a file or a folder tree.

    Raises:
        NoRecordingsError, DatasetError: As ``find_recordings``.
    """
    root = source if source.is_dir() else source.parent
    return RecordingTree(root, tuple(path.relative_to(root).as_posix() for path in find_recordings(source, roots=roots)))


def open_recordings(
    tree: RecordingTree,
    hints: RecordingHints,
    *,
    roots: DataRoots = ANYWHERE,
    step: int = 1,
    should_stop: Callable[[], bool] = lambda: False,
) -> Survey:
    """Read the headers of every ``step``-th recording, until asked to stop."""
    survey = Survey(tree)
    for name in islice(tree.names, 0, None, step):
        if should_stop():
            break
        try:
            survey.opened[name] = open_recording(
                tree.root / name,
                sample_rate=hints.sample_rate,
                center_frequency=hints.center_frequency,
                datatype=hints.datatype,
                roots=roots,
            )
        except SignalError as error:
            survey.failures[name] = error
    return survey
