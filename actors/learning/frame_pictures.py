"""Pictures of the frames of recordings: made once where frames are looked at as they are, for every epoch where they are augmented.

Owns what of the frames is kept in memory, who reads and renders them when, and that an augmented picture is a function of
(seed, epoch, place in the epoch, frame) alone, so that a training continues with the very pictures it would have seen. What a
recipe or a change of a frame is belongs to ``signals``.

Frames are read and rendered in threads of their own, each a group at a time. On a CPU that is three times as fast as torch's
threads working on one frame together, and leaves the number of torch's threads, on which a training's results depend, alone.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from threading import Lock
from typing import Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from actors.files.errors import WorkError
from actors.learning.data import Decoding, PictureSet, Turn, room_for
from actors.learning.recording_tree import FrameTree, unusable
from actors.learning.seeds import mixed_seed
from actors.signals.augmentation import RadioAugmentation
from actors.signals.engine import SpectrogramEngine
from actors.signals.frames import Samples

#: Samples that a GPU works on at once: enough to do, and little beside a network.
_GPU_GROUP: Final = 2**22
#: Samples between two looks at ``should_stop``.
_CHUNK: Final = 2**24
#: What the frames that threads work on may take together; where frames are so long that few fit, fewer threads work.
_IN_WORK_BYTES: Final = 2 << 30
#: Copies of a frame that a thread holds at once: read and put into a group; changed on a CPU, also those of the changes.
_COPIES: Final = 2
_CHANGED_COPIES: Final = 7
#: Keeps the draws of a frame apart from those of a step of learning, which are mixed of four numbers too.
_FRAME: Final = -1

Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Rendering:
    """How frames become pictures on a device; threads may share it."""

    engine: SpectrogramEngine
    augmentation: RadioAugmentation | None = None
    #: On a GPU one group at a time, which bounds the memory it takes there.
    _entry: AbstractContextManager[object] = field(init=False)

    def __post_init__(self) -> None:
        """Let several threads in at once on a CPU only."""
        object.__setattr__(self, "_entry", nullcontext() if self.engine.device.type == "cpu" else Lock())

    @property
    def group_size(self) -> int:
        """Frames that are best rendered together. On a CPU one, so that a picture does not depend on its neighbours in a group."""
        if self.engine.device.type == "cpu":
            return 1
        return max(1, _GPU_GROUP // self.engine.recipe.frame_samples)

    def threads_within_memory(self, frames: FrameTree, threads: int) -> int:
        """Tell how many threads may work on groups of frames at once."""
        is_changed_here = self.augmentation is not None and self.engine.device.type == "cpu"
        longest = max(each.reading_bytes for each in frames.recordings)
        group_bytes = longest * self.group_size * (_CHANGED_COPIES if is_changed_here else _COPIES)
        return max(1, min(threads, _IN_WORK_BYTES // group_bytes))

    def __call__(self, frames: Samples, seeds: Sequence[int] = ()) -> Tensor:
        """Make float32 pictures in 0..1 of shape (n, 3, side, side), on the device, of frames of shape (n, samples).

        Args:
            frames: Changed by the augmentation, where there is one.
            seeds: One for each frame, which decides its changes.
        """
        with self._entry:
            samples = torch.from_numpy(frames).to(self.engine.device)
            return self.engine(self.augmentation.each(samples, seeds) if self.augmentation else samples)


@dataclass(frozen=True, slots=True)
class _Survey:
    """What going through all frames once found out."""

    fingerprint: str
    #: Frames with a stretch of zeros: what a receiver lost, or what fills up a frame.
    silent: int


def render_frames(
    frames: FrameTree, rendering: Rendering, decoding: Decoding, should_stop: Callable[[], bool]
) -> tuple[PictureSet, int] | None:
    """Make a picture of every frame, once.

    Returns:
        The pictures, and how many frames hold stretches of zeros; None where ``should_stop`` said so before the end.

    Raises:
        UnusableRecordingError: Some recordings cannot be read; all are tried first, so that the message can count them.
        OutputError: The pictures exceed the memory budget and the scratch folder cannot hold them.
    """
    decoding = replace(decoding, threads=rendering.threads_within_memory(frames, decoding.threads))
    pixels = room_for(len(frames), decoding)

    def keep(index: int, samples: Samples) -> None:
        picture = rendering(samples[None])[0].mul(255.0).round_()
        pixels[index] = picture.permute(1, 2, 0).to(torch.uint8).cpu().numpy()

    survey = _go_through(frames, keep, decoding, should_stop)
    if survey is None:
        return None
    labels = torch.tensor(frames.labels, dtype=torch.int64)
    return PictureSet(torch.from_numpy(pixels), labels, survey.fingerprint), survey.silent


@dataclass(frozen=True, slots=True)
class AugmentedFrames:
    """The frames of a tree, of which pictures are made anew, and differently, for every epoch.

    ``kept`` holds the first of them; the others are read again each time. A source of batches, as ``Pictures`` describes it.
    """

    frames: FrameTree
    rendering: Rendering
    #: complex64 of shape (frames kept, samples).
    kept: Samples
    labels: Tensor
    fingerprint: str
    threads: int

    def __len__(self) -> int:
        """Count the frames."""
        return len(self.frames)

    @property
    def size_bytes(self) -> int:
        """What the frames in memory occupy."""
        return self.kept.nbytes

    def show(self, turns: Sequence[Turn], *, seed: int, epoch: int, device: torch.device) -> Iterator[Tensor]:
        """Yield the pictures of each turn; the next ones are read and rendered meanwhile.

        Raises:
            UnusableRecordingError: A recording that could be read cannot be read any more.
        """

        def make(group: Turn) -> Tensor:
            seeds = [mixed_seed(seed, epoch, group.position + place, _FRAME) for place in range(len(group.indexes))]
            return self.rendering(np.stack([self._read(int(index)) for index in group.indexes]), seeds)

        groups = [self._groups(turn) for turn in turns]
        side = self.rendering.engine.image_size
        with closing(_ahead(make, chain.from_iterable(groups), self.threads)) as made:
            for each in groups:
                pictures = list(islice(made, len(each)))
                yield torch.cat(pictures).to(device) if pictures else torch.empty(0, 3, side, side, device=device)

    def _groups(self, turn: Turn) -> list[Turn]:
        """Cut the pictures of a turn into groups that are rendered together."""
        size = self.rendering.group_size
        return [Turn(turn.position + at, turn.indexes[at : at + size]) for at in range(0, len(turn.indexes), size)]

    def _read(self, index: int) -> Samples:
        """Take a frame from memory, or from its recording."""
        try:
            return self.kept[index] if index < len(self.kept) else self.frames.read(index)
        except WorkError as error:
            name = self.frames.tree.samples[self.frames.recording_of(index)][0]
            raise unusable(self.frames.tree.root, [(name, error.message, error.hint)]) from error


def augment_frames(
    frames: FrameTree, rendering: Rendering, decoding: Decoding, should_stop: Callable[[], bool]
) -> tuple[AugmentedFrames, int] | None:
    """Read every frame once, and keep as many in memory as the budget allows.

    Returns:
        The frames, and how many hold stretches of zeros; None where ``should_stop`` said so before the end.

    Raises:
        UnusableRecordingError: As ``render_frames``.
    """
    decoding = replace(decoding, threads=rendering.threads_within_memory(frames, decoding.threads))
    samples = frames.recipe.frame_samples
    fitting = min(len(frames), decoding.memory_budget_bytes // (samples * np.dtype(np.complex64).itemsize))
    kept = np.empty((fitting, samples), dtype=np.complex64)

    def keep(index: int, frame: Samples) -> None:
        if index < fitting:
            kept[index] = frame

    survey = _go_through(frames, keep, decoding, should_stop)
    if survey is None:
        return None
    labels = torch.tensor(frames.labels, dtype=torch.int64)
    return AugmentedFrames(frames, rendering, kept, labels, survey.fingerprint, decoding.threads), survey.silent


def _go_through(
    frames: FrameTree, keep: Callable[[int, Samples], None], decoding: Decoding, should_stop: Callable[[], bool]
) -> _Survey | None:
    """Read every frame and every file once, in threads; None where asked to stop."""
    problems = _Problems(frames)

    def look(index: int) -> bool:
        samples = frames.read(index)
        keep(index, samples)
        return _has_silence(samples, frames.recipe.nfft)

    def look_at(index: int) -> bool:
        return bool(problems.noted(frames.recording_of(index), lambda: look(index)))

    def digest_of(number: int) -> bytes:
        return problems.noted(number, lambda: frames.digest_of(number, decoding.roots)) or b""

    with ThreadPoolExecutor(decoding.threads, thread_name_prefix="frames") as pool:
        chunk = max(decoding.threads, _CHUNK // frames.recipe.frame_samples)
        silent = _in_chunks(pool, look_at, len(frames), chunk, should_stop)
        digests = _in_chunks(pool, digest_of, len(frames.recordings), decoding.threads, should_stop) if silent else None
    if silent is None or digests is None:
        return None
    problems.raise_any()
    return _Survey(frames.fingerprint(digests), sum(silent))


class _Problems:
    """The recordings of a tree that cannot be read, each with the first reason. Threads may share it."""

    def __init__(self, frames: FrameTree) -> None:
        self._tree = frames.tree
        self._problems: dict[int, tuple[str, str, str]] = {}

    def noted(self, number: int, work: Callable[[], Made]) -> Made | None:
        """Do something with a recording; where that cannot be done, note why and give None."""
        try:
            return work()
        except WorkError as error:
            reason = (error.message, error.hint)
        except OSError as error:
            reason = (error.strerror or str(error), "")
        self._problems.setdefault(number, (self._tree.samples[number][0], *reason))
        return None

    def raise_any(self) -> None:
        """Raise an error that counts and names what was noted, if anything was."""
        if self._problems:
            raise unusable(self._tree.root, [self._problems[number] for number in sorted(self._problems)])


def _in_chunks(
    pool: ThreadPoolExecutor, work: Callable[[int], Made], count: int, chunk: int, should_stop: Callable[[], bool]
) -> list[Made] | None:
    """Do numbered work in threads, asking before every chunk whether to stop; None where that is wished."""
    made: list[Made] = []
    for start in range(0, count, chunk):
        if should_stop():
            return None
        made += pool.map(work, range(start, min(start + chunk, count)))
    return made


def _has_silence(samples: Samples, nfft: int) -> bool:
    """Tell whether so many samples in a row are exactly zero that a transform sees nothing else."""
    # A run of nfft zeros, wherever it begins, holds a whole block of half that length.
    block = nfft // 2
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    return bool((~blocks.any(axis=1)).any())


def _ahead(work: Callable[[Item], Made], items: Iterable[Item], threads: int) -> Generator[Made]:
    """Do work in threads and yield the results in order, a few of them made before they are asked for."""
    pool, waiting = ThreadPoolExecutor(threads, thread_name_prefix="frames"), deque[Future[Made]]()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
