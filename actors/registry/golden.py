"""Golden inputs: the pictures that a version is checked on whenever it is loaded.

Owns which pictures these are. Those that the network was validated on tell most; where there are none, pictures are made that look like
spectrograms, always the same. It must not import torch.
"""

import io
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.learning.class_tree import ClassTree, scan_class_folders
from actors.learning.errors import UnreadablePictureError
from actors.learning.pictures import decode_picture
from actors.signals.colours import STEPS, jet

_MOST_PICTURES: Final = 8
#: Of all pixels together; very large pictures are fewer.
_MOST_BYTES: Final = 16 << 20
_SEED: Final = 2025
_BURSTS: Final = 6

Item = TypeVar("Item")


def golden_inputs(image_size: int, tree: Path | None, roots: DataRoots) -> NDArray[np.uint8]:
    """Take pictures of a tree of class folders, or make some where there is no such tree any more.

    Args:
        image_size: side of the square pictures, in pixels.
        tree: of pictures; None for none.
        roots: the pictures are read from inside them only.

    Returns:
        Pixels of shape (n, image_size, image_size, 3), RGB, with n from 1 to 8.
    """
    count = max(1, min(_MOST_PICTURES, _MOST_BYTES // (3 * image_size**2)))
    found = _read_pictures(tree, image_size, count, roots=roots) if tree is not None else []
    return np.stack(found or [_made_picture(image_size, number) for number in range(count)])


def encode_golden(inputs: NDArray[np.uint8]) -> bytes:
    """Golden inputs as the content of a .npz file, named ``inputs`` in it; the same ones always give the same bytes."""
    content = io.BytesIO()
    np.savez_compressed(content, inputs=inputs)
    return content.getvalue()


def _read_pictures(tree: Path, image_size: int, count: int, *, roots: DataRoots) -> list[NDArray[np.uint8]]:
    """Decode pictures of a tree, spread over its classes; none where it is gone or holds recordings."""
    pictures: list[NDArray[np.uint8]] = []
    with suppress(WorkError):
        scanned = scan_class_folders(roots.locate(tree), roots=roots)
        for path in _spread(scanned, count) if scanned.kind == "pictures" else ():
            with suppress(UnreadablePictureError):
                pictures.append(decode_picture(scanned.root / path, image_size, roots=roots))
    return pictures


def _spread(tree: ClassTree, count: int) -> Iterable[str]:
    """Choose paths from as many classes as possible, and within a class from its whole length: neighbours are often alike."""
    by_class: list[list[str]] = [[] for _ in tree.classes]
    for path, index in tree.samples:
        by_class[index].append(path)
    classes = _evenly(by_class, count)
    share = -(-count // len(classes))
    rounds = [_evenly(paths, share) for paths in classes]
    return islice((paths[number] for number in range(share) for paths in rounds if number < len(paths)), count)


def _evenly(items: list[Item], count: int) -> list[Item]:
    """At most ``count`` of the items, from the first on at equal distances."""
    taken = min(count, len(items))
    return [items[number * len(items) // taken] for number in range(taken)]


def _made_picture(image_size: int, number: int) -> NDArray[np.uint8]:
    """Make a picture of noise with bursts, in the colours of spectrograms; of shape (image_size, image_size, 3)."""
    chance = np.random.default_rng((_SEED, number))
    levels = chance.normal(0.35, 0.06, (image_size, image_size))
    for _ in range(_BURSTS):
        left, top = chance.integers(0, image_size, 2)
        width, height = chance.integers(1, max(2, image_size // 3), 2)
        levels[top : top + max(1, height // 4), left : left + width] += chance.uniform(0.2, 0.5)
    steps = (levels.clip(0.0, 1.0) * (STEPS - 1)).astype(np.intp)
    return jet()[steps]
