"""The recordings of a tree of class folders, and their frames by one recipe.

Owns how recordings are opened, and the numbering of all their frames. Must not import torch: a submission is checked with it by a
process that has none.
"""

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final, TypeVar

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import WorkError
from actors.learning.class_tree import ClassTree
from actors.learning.errors import UnusableRecordingError
from actors.learning.plan import RecordingChoices
from actors.signals.frames import RecordingFrames, Samples, require_few_frames
from actors.signals.recipe import Recipe
from actors.signals.recording import Recording, open_recording

_NAMED_AT_MOST: Final = 5

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class FrameTree:
    """The frames of a tree's recordings, in its order. Nothing is in memory but what ``read`` returns; threads may share it.

    Invariant: ``recordings`` are those of ``tree.samples``, in that order, and each has a frame.
    """

    tree: ClassTree
    recipe: Recipe
    recordings: tuple[RecordingFrames, ...]
    #: How many frames there are up to the end of each recording.
    ends: tuple[int, ...]

    def __len__(self) -> int:
        """Count the frames."""
        return self.ends[-1]

    @property
    def labels(self) -> list[int]:
        """The class index of each frame."""
        return [label for (_, label), frames in zip(self.tree.samples, self.recordings, strict=True) for _ in range(len(frames))]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of frames of each class, in index order."""
        counts = [0] * len(self.tree.classes)
        for (_, label), frames in zip(self.tree.samples, self.recordings, strict=True):
            counts[label] += len(frames)
        return tuple(counts)

    def recording_of(self, index: int) -> int:
        """Tell which recording a frame is of."""
        return bisect_right(self.ends, index)

    def read(self, index: int) -> Samples:
        """Read a frame: complex64 of shape (``recipe.frame_samples``,).

        Raises:
            UnreadableRecordingError: The file is gone, or was cut off meanwhile.
            BadSamplesError: One of its samples is NaN, infinite, or larger than any receiver gives.
        """
        number = self.recording_of(index)
        start = self.ends[number - 1] if number else 0
        return self.recordings[number].read(index - start)

    def digest_of(self, number: int, roots: DataRoots) -> bytes:
        """Hash the bytes of a recording, and what is known of them.

        Raises:
            OSError, OutsideRootsError: They cannot be read.
        """
        recording = self.recordings[number].recording
        whole = hashlib.sha256(f"{recording.datatype.name} {recording.sample_rate!r}\n".encode())
        for path in sorted({recording.path, recording.data_path}):
            with roots.open(path) as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
        return whole.digest()

    def fingerprint(self, digests: Iterable[bytes]) -> str:
        """Hash the recipe, and names and contents in the order of the tree."""
        whole = hashlib.sha256(json.dumps(self.recipe.to_dict(), sort_keys=True).encode())
        for (name, _), digest in zip(self.tree.samples, digests, strict=True):
            whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + digest)
        return whole.hexdigest()

    def remarks(self) -> list[str]:
        """Tell what the user should know of how the frames were laid out."""
        changes = sorted({frames.resampling.source_rate for frames in self.recordings if frames.resampling.is_needed})
        counts = [sum(frames.resampling.source_rate == rate for frames in self.recordings) for rate in changes]
        told = [
            f"{_counted(count, 'recording')} below {self.tree.root} brought from {rate:g} to {self.recipe.sample_rate:g} S/s"
            for rate, count in zip(changes, counts, strict=True)
        ]
        short = sum(frames.short_captures for frames in self.recordings)
        if short:
            told.append(f"{_counted(short, 'capture')} of recordings below {self.tree.root} left out: shorter than a frame")
        return told


def open_recordings(
    tree: ClassTree, choices: RecordingChoices, *, most: int | None = None, roots: DataRoots = ANYWHERE
) -> dict[str, Recording]:
    """Look at the headers of a tree's recordings, by their names below its root.

    Args:
        tree: Of recordings.
        choices: What the recordings do not tell.
        most: How many of them to look at, evenly spread; None for all.
        roots: Where they must lie, links followed.

    Raises:
        UnusableRecordingError: Some cannot be opened; all are tried first, so that the message can count them.
    """

    def open_one(name: str) -> Recording:
        return open_recording(
            tree.root / name,
            sample_rate=choices.sample_rate,
            center_frequency=choices.center_frequency,
            datatype=choices.datatype,
            roots=roots,
        )

    names = [name for name, _ in tree.samples]
    step = 1 if most is None else max(1, math.ceil(len(names) / most))
    looked_at = names[::step]
    opened = _each(tree.root, looked_at, open_one)
    return dict(zip(looked_at, opened, strict=True))


def lay_out_frames(tree: ClassTree, recordings: Mapping[str, Recording], recipe: Recipe) -> FrameTree:
    """Number the frames of a tree's recordings; of a tree that was only looked at in part, of these.

    Raises:
        UnusableRecordingError: Some are too short, or cannot be brought to the recipe's rate.
        RecipeError: There are more frames than one task should go over.
    """
    names = list(recordings)
    laid_out = _each(tree.root, names, lambda name: RecordingFrames(recordings[name], recipe))
    require_few_frames(laid_out)
    seen = ClassTree(tree.root, tree.classes, tuple(each for each in tree.samples if each[0] in recordings), tree.kind)
    return FrameTree(seen, recipe, tuple(laid_out), tuple(accumulate(map(len, laid_out))))


def unusable(root: Path, problems: Sequence[tuple[str, str, str]]) -> UnusableRecordingError:
    """Name some of the recordings that cannot be used and count the rest.

    Args:
        root: Where they lie.
        problems: Of each, its path below the root, the reason and the remedy.
    """
    # Most reasons name the whole path themselves.
    reasons = [reason if str(root / name) in reason else f"{name} ({reason})" for name, reason, _ in problems]
    named, rest = "; ".join(reasons[:_NAMED_AT_MOST]), len(problems) - _NAMED_AT_MOST
    more = f"; and {rest} more" if rest > 0 else ""
    message = f"{_counted(len(problems), 'recording')} below {root} cannot be used: {named}{more}"
    return UnusableRecordingError(message, problems[0][2] or "Replace or remove them.")


def _each(root: Path, names: Iterable[str], work: Callable[[str], Made]) -> list[Made]:
    """Do something with every recording; all are tried, so that the error can count those that cannot be used."""
    made: list[Made] = []
    problems = []
    for name in names:
        try:
            made.append(work(name))
        except WorkError as error:
            problems.append((name, error.message, error.hint))
    if problems:
        raise unusable(root, problems)
    return made


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
