"""Pictures in memory and batches made of them.

Owns that every picture is decoded and resized exactly once per attempt, and that the order of an epoch is a function of
(seed, epoch) alone, so that a training continues in the middle of an epoch with the very batches it would have seen.
What a picture looks like to a network is ``pictures``' business; this module only calls it. Pictures that are made anew for
every epoch come from elsewhere, as ``Pictures`` describes it.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.files.atomic import output_error
from actors.files.data_roots import ANYWHERE, DataRoots, OutsideRootsError
from actors.learning.class_tree import ClassTree
from actors.learning.errors import UnreadablePictureError
from actors.learning.parallel import ALONE, Gang
from actors.learning.pictures import decode_picture
from actors.learning.seeds import mixed_seed

#: Pictures between two looks at ``should_stop``; enough that threads seldom wait for the slowest of them.
_CHUNK = 128
_NAMED_AT_MOST = 5

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Decoding:
    """How the pictures of a tree are brought into memory."""

    #: Side of the square pictures, in pixels.
    image_size: int
    #: What decoded pictures may occupy; beyond it they lie in a file that the kernel pages in.
    memory_budget_bytes: int
    #: Where that file is made; it has no name there, so nothing stays behind.
    scratch_dir: Path
    threads: int
    #: Where pictures may lie; a link out of them is not followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class Turn:
    """Some pictures of an epoch that are learnt from together."""

    #: The place of the first of them in the epoch's order; the others follow it.
    position: int
    #: Which pictures of the set they are: int64 of shape (n,).
    indexes: Tensor


class Pictures(Protocol):
    """What batches are made of: a set of pictures, each with the index of its class."""

    @property
    def labels(self) -> Tensor:
        """Class indexes: int64 of shape (pictures,)."""

    @property
    def fingerprint(self) -> str:
        """Tells whether two sets are made of the same files in the same way."""

    def __len__(self) -> int:
        """Count the pictures."""

    def show(self, turns: Sequence[Turn], *, seed: int, epoch: int, device: torch.device) -> Iterator[Tensor]:
        """Yield the pictures of each turn, as float32 0..1 of shape (n, 3, side, side) on a device.

        They may differ from one epoch to the next, but depend on nothing else than seed, epoch, position and index.
        """


@dataclass(frozen=True, slots=True)
class PictureSet:
    """The decoded pictures of a tree, in its order.

    ``pixels`` is uint8 of shape (pictures, side, side, 3), RGB; ``labels`` is int64 of shape (pictures,).
    """

    pixels: Tensor
    labels: Tensor
    #: SHA-256 over the names and the encoded bytes of all pictures.
    fingerprint: str

    def __len__(self) -> int:
        """Count the pictures."""
        return self.labels.shape[0]

    @property
    def size_bytes(self) -> int:
        """What the decoded pictures occupy."""
        return self.pixels.numel()

    def show(self, turns: Sequence[Turn], *, seed: int, epoch: int, device: torch.device) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the same pictures in every epoch; they travel to the device as bytes, a quarter of their size as floats."""
        for turn in turns:
            pixels = self.pixels[turn.indexes].to(device, non_blocking=True)
            yield pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255.0)


@dataclass(frozen=True, slots=True)
class Batch:
    """Pictures as float32 0..1 of shape (n, 3, side, side), not normalised further, and labels int64 of shape (n,).

    Of a batch that several ranks share, these are one rank's part, which may be empty.
    """

    pictures: Tensor
    labels: Tensor
    #: The labels of all ranks' parts, where there are several ranks.
    shared_labels: Tensor | None = None

    @property
    def whole_labels(self) -> Tensor:
        """The labels of the whole batch, whoever holds its pictures."""
        return self.labels if self.shared_labels is None else self.shared_labels

    def __len__(self) -> int:
        """Count the pictures."""
        return self.labels.shape[0]


def decode_pictures(tree: ClassTree, decoding: Decoding, should_stop: Callable[[], bool]) -> PictureSet | None:
    """Decode every picture of a tree once.

    Returns:
        The pictures, or None where ``should_stop`` said so before the end.

    Raises:
        UnreadablePictureError: Some cannot be decoded; all are tried first, so that the message can count them.
        OutputError: The pictures exceed the memory budget and the scratch folder cannot hold them.
    """
    pixels = room_for(len(tree.samples), decoding)
    digests: list[bytes] = []
    unreadable: list[str] = []

    def decode(index: int) -> bytes | str:
        return _decode_into(pixels[index], tree.root, tree.samples[index][0], decoding.roots)

    with ThreadPoolExecutor(max_workers=decoding.threads, thread_name_prefix="decode") as pool:
        for start in range(0, len(tree.samples), _CHUNK):
            if should_stop():
                return None
            for answer in pool.map(decode, range(start, min(start + _CHUNK, len(tree.samples)))):
                if isinstance(answer, str):
                    unreadable.append(answer)
                else:
                    digests.append(answer)
    if unreadable:
        raise _all_unreadable(tree.root, unreadable)
    labels = torch.tensor([label for _, label in tree.samples], dtype=torch.int64)
    return PictureSet(torch.from_numpy(pixels), labels, _fingerprint(tree, digests))


@dataclass(frozen=True, slots=True)
class BatchSource:
    """The batches of any epoch over a picture set, on a device, or this rank's part of each batch."""

    pictures: Pictures
    #: Pictures on one device in a step.
    batch_size: int
    device: torch.device
    seed: int = 0
    shuffle: bool = False
    gang: Gang = ALONE

    @property
    def step_size(self) -> int:
        """Pictures in a batch of all ranks together."""
        return self.batch_size * self.gang.world_size

    def bounds(self, start: int = 0) -> list[tuple[int, int]]:
        """Cut an epoch from its picture number ``start`` on into the batches of all ranks together."""
        return batch_bounds(len(self.pictures), self.step_size, start=start)

    def batches(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of an epoch from its picture number ``start`` on.

        A last picture that would be alone joins the batch before it: batch normalisation cannot learn from one.
        """
        order, bounds = self.order(epoch), self.bounds(start)
        parts = [self.gang.part(begin, end) for begin, end in bounds]
        turns = [Turn(part.start, order[part]) for part in parts]
        shown = self.pictures.show(turns, seed=self.seed, epoch=epoch, device=self.device)
        for (begin, end), turn, pictures in zip(bounds, turns, shown, strict=True):
            shared = None if self.gang.is_alone else self._labels(order[begin:end])
            yield Batch(pictures, self._labels(turn.indexes), shared)

    def gathered(self, rows: Tensor) -> Tensor:
        """Bring together what the ranks computed for their parts of an unshuffled epoch, on each of them.

        Args:
            rows: One row for every picture of this rank, in the order of its batches.
        """
        if self.gang.is_alone:
            return rows
        mine = torch.cat([torch.arange(len(self.pictures))[self.gang.part(*bounds)] for bounds in self.bounds()])
        whole = rows.new_zeros(len(self.pictures), *rows.shape[1:])
        whole[mine.to(rows.device)] = rows
        return self.gang.total(whole)

    def order(self, epoch: int) -> Tensor:
        """Give the order of the pictures in an epoch: the same for the same seed and epoch, always."""
        if not self.shuffle:
            return torch.arange(len(self.pictures))
        generator = torch.Generator().manual_seed(mixed_seed(self.seed, epoch))
        return torch.randperm(len(self.pictures), generator=generator)

    def _labels(self, indexes: Tensor) -> Tensor:
        """Collect labels on the device."""
        return self.pictures.labels[indexes].to(self.device, non_blocking=True)


def batch_bounds(count: int, batch_size: int, *, start: int = 0) -> list[tuple[int, int]]:
    """Cut the pictures ``start`` to ``count`` into (begin, end) ranges, without a last range of one picture.

    With a batch size of one every range holds one picture, and with only one picture left there is nothing to join.
    """
    bounds = [(begin, min(begin + batch_size, count)) for begin in range(start, count, batch_size)]
    if batch_size > 1 and len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        bounds[-2:] = [(bounds[-2][0], count)]
    return bounds


def room_for(count: int, decoding: Decoding) -> Pixels:
    """Allocate pixels in memory, or in a nameless file where they exceed the budget."""
    shape = (count, decoding.image_size, decoding.image_size, 3)
    size = count * decoding.image_size**2 * 3
    if size <= decoding.memory_budget_bytes:
        return np.empty(shape, dtype=np.uint8)
    try:
        with tempfile.TemporaryFile(dir=decoding.scratch_dir) as file:
            # Claims the blocks now: writing to a mapped hole on a full disk would kill the process by a signal.
            os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise output_error(decoding.scratch_dir / "pictures", error) from error


def _decode_into(pixels: Pixels, root: Path, name: str, roots: DataRoots) -> bytes | str:
    """Decode one picture in place; give the digest of its file, or the reason why it cannot be decoded."""
    try:
        pixels[...] = decode_picture(root / name, pixels.shape[0], roots=roots)
        with roots.open(root / name) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except (UnreadablePictureError, OutsideRootsError) as error:
        return f"{name} ({error.message.rpartition(': ')[2]})"
    except OSError as error:
        return f"{name} ({error.strerror})"


def _all_unreadable(root: Path, unreadable: list[str]) -> UnreadablePictureError:
    """Name some of the pictures that cannot be decoded and count the rest."""
    named = ", ".join(unreadable[:_NAMED_AT_MOST])
    rest = len(unreadable) - _NAMED_AT_MOST
    more = f" and {rest} more" if rest > 0 else ""
    what = "picture" if len(unreadable) == 1 else "pictures"
    message = f"{len(unreadable)} {what} below {root} cannot be decoded: {named}{more}"
    return UnreadablePictureError(message, "Replace or remove them.")


def _fingerprint(tree: ClassTree, digests: list[bytes]) -> str:
    """Hash names and contents in the order of the tree."""
    whole = hashlib.sha256()
    for (name, _), digest in zip(tree.samples, digests, strict=True):
        whole.update(name.encode("utf-8", "surrogateescape") + b"\0" + digest)
    return whole.hexdigest()
