"""A data set of plain coloured pictures: two classes that any network tells apart, made in milliseconds."""

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("blue", "red")


def write_coloured(root: Path, *, train: int = 12, valid: int = 4, size: int = 32) -> Path:
    """Write train and valid class folders of noisy blue and red pictures; returns the root."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("valid", valid)):
        for channel, name in ((2, "blue"), (0, "red")):
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
                picture[..., channel] += 150
                Image.fromarray(picture).save(folder / f"{number}.png")
    return root


def write_classes(root: Path, names: tuple[str, ...], *, train: int = 8, valid: int = 8, size: int = 32) -> Path:
    """Write train and valid class folders of noisy pictures, each class of a grey of its own; returns the root."""
    rng = np.random.default_rng(0)
    for part, count in (("train", train), ("valid", valid)):
        for level, name in enumerate(names):
            folder = root / part / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                picture = rng.integers(0, 60, (size, size, 3), dtype=np.uint8) + np.uint8(level * 60)
                Image.fromarray(picture).save(folder / f"{number}.png")
    return root
