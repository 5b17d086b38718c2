"""Small picture trees, and a run of a task as a worker would have it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actors.fence import FencedFolder
from actors.preprocessing.plan import Outcome, Record


@dataclass
class Runner:
    """Runs a task with a new fencing token each time, and keeps what it said."""

    records: list[Record] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    token: int = 0

    def __call__(self, task: Callable[..., Outcome], plan, should_stop: Callable[[], bool] = lambda: False) -> Outcome:
        self.records.clear()
        self.published.clear()
        self.token += 1
        folder = FencedFolder(plan.output_path, self.token)

        def publish_all(files):
            folder.publish_all(files)
            self.published.extend(name for _, name in files)

        try:
            return task(plan, report=self.records.append, should_stop=should_stop, staging=folder.staging, publish_all=publish_all)
        finally:
            folder.close()

    def warnings(self) -> str:
        return "\n".join(record.message for record in self.records if record.level == "WARNING")


@pytest.fixture
def run() -> Runner:
    return Runner()


def draw(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (40, 30), seed: int = 0, **options) -> Path:
    """Write a picture of blurred noise; its format is that of the file name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.random.default_rng(seed).integers(60, 200, (size[1] // 2, size[0] // 2, 3), dtype=np.uint8)
    Image.fromarray(colours).resize(size, Image.Resampling.BICUBIC).convert(mode).save(path, **options)
    return path


def tree_of(folder: Path) -> dict[str, bytes]:
    """Read what a user sees in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def pictures_of(folder: Path) -> set[str]:
    return set(tree_of(folder)) - {"preprocessing.json"}
