"""A registry over a real store, and what a training leaves, made by hand: the registry never looks into weights."""

from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from actors.core.errors import TaskNotFoundError
from actors.core.model import WorkKind
from actors.core.tasks import Submission, Task, TaskState
from actors.learning.history_files import METRICS_CSV, metrics_csv
from actors.learning.model_card import CARD_FILE, ModelCard, write_model_card
from actors.registry.records import RegisterModel
from actors.registry.registry import ModelRegistry
from configs.settings import Settings

CLASSES = ["AVATA", "FLIGHT", "MINI"]
SIDE = 32


class SteadyClock:
    """Tells the same time for ever."""

    def now(self):
        return 1_750_000_000.0


@dataclass
class World:
    """A data root, the tasks that there are, and a registry that can be opened again."""

    root: Path
    settings: Settings
    tasks: dict[str, Task] = field(default_factory=dict)

    def find_task(self, task_id):
        if task_id not in self.tasks:
            raise TaskNotFoundError(task_id)
        return self.tasks[task_id]

    def open_registry(self):
        return ModelRegistry(self.settings, SteadyClock(), self.find_task)

    def kept_files(self):
        """The names of the registry's files, by ending."""
        return sorted(path.suffix for path in (self.settings.state_dir / "models").iterdir())

    def write_files(self, folder="weights", content=b"weights", *, card=None, **config):
        """Weights with a configuration, and a card where one is given; returns a wish to register them."""
        place = self.root / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / "best_model.pth").write_bytes(content)
        fields = {
            "model": "resnet18",
            "num_classes": 3,
            "image_size": SIDE,
            "class_names": {name: index for index, name in enumerate(CLASSES)},
        }
        (place / "config.yaml").write_text(yaml.safe_dump(fields | config))
        if card is not None:
            write_model_card(place / CARD_FILE, card)
        return RegisterModel("drones", cfg_path=f"{folder}/config.yaml", weight_path=f"{folder}/best_model.pth")

    def add_training(self, task_id="train-1", *, state=TaskState.COMPLETED, content=b"trained", **request):
        """A training with all that it leaves; returns a wish to register it."""
        self.write_files(f"runs/{task_id}", content, card=make_card(content, task_id=task_id))
        output = self.root / "runs" / task_id
        (output / METRICS_CSV).write_text(metrics_csv([{"epoch": 1, "val_acc": 50.0}, {"epoch": 2, "val_acc": float("nan")}]))
        asked = {"model": "resnet18", "val_path": "valid", "weight_path": "", "pretrained": True, **request}
        resolved = {"output": str(output), "val_path": str(self.root / "valid")}
        submission = Submission(task_id, WorkKind.TRAINING, "training", asked, "cpu", 5, resolved=resolved)
        self.tasks[task_id] = Task(submission, state, 0.0, 0.0)
        return RegisterModel("drones", task_id=task_id)

    def add_pictures(self, per_class=3):
        """The pictures that trainings were validated on; those of each class have a grey of their own."""
        for index, name in enumerate(CLASSES):
            folder = self.root / "valid" / name
            folder.mkdir(parents=True)
            for number in range(per_class):
                Image.fromarray(np.full((40, 50, 3), 50 * (index + 1), np.uint8)).save(folder / f"{number}.png")


def make_card(content=b"weights", **parts):
    fields = {
        "architecture": "resnet18",
        "classes": CLASSES,
        "num_classes": 3,
        "image_size": SIDE,
        "weights_sha256": sha256(content).hexdigest(),
        "metrics": {"val_acc": 91.5},
        "dataset_hash": {"train": "a" * 64, "valid": "b" * 64},
    }
    return ModelCard(**(fields | parts))


@pytest.fixture
def world(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    return World(root, Settings(state_dir=tmp_path / "state", data_roots=[root]))


@pytest.fixture
def registry(world):
    return world.open_registry()


@pytest.fixture
def anyio_backend():
    return "asyncio"
