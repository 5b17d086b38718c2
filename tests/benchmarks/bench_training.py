"""Compare our training loop with a plain PyTorch loop, and decoding once with decoding in every epoch.

    python -m tests.benchmarks.bench_training [--model resnet18] [--image-size 128] [--epochs 2] [--rounds 3] [--data DIR]

All variants see the same pictures in batches of the same size, with the same number of threads, in one process. They
take turns within each round, in an order that changes, and what is printed are medians over the rounds and medians of
the ratios within a round: the machine may slow down between rounds without touching them. Imports and the first use of
each kernel are outside all timings.
"""

import argparse
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from actors.learning import training
from actors.learning.class_tree import scan_class_folders
from actors.learning.data import Decoding, decode_pictures
from actors.learning.outputs import Outputs
from actors.learning.plan import Stage, TrainingPlan, TrainingRecord
from actors.learning.zoo import build_model


@dataclass(frozen=True)
class Moment:
    """What the clock and the process's CPU time show; other programs on the machine disturb the second less."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Moment":
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Moment") -> "Moment":
        return Moment(self.wall - other.wall, self.cpu - other.cpu)


Batches = Iterable[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Settings:
    data: Path
    model: str
    image_size: int
    batch_size: int
    epochs: int
    threads: int
    classes: int


class InMemory(Dataset[tuple[Tensor, int]]):
    """Decoded pictures, handed out one by one as a plain program would."""

    def __init__(self, tree: Path, settings: Settings, folder: Path) -> None:
        decoding = Decoding(settings.image_size, 1 << 34, folder, settings.threads)
        pictures = decode_pictures(scan_class_folders(tree), decoding, lambda: False)
        assert pictures is not None
        self._pixels = pictures.pixels.permute(0, 3, 1, 2).contiguous()
        self._labels = pictures.labels.tolist()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._pixels[index].float().div(255), self._labels[index]


class NoFiles(Outputs):
    """Outputs that are made but never written."""

    def _hand_over(self, name: str, _: Callable[[Path], None] | None = None) -> None:
        self._written[name] = None

    def write_weights(self, epoch: int, *_: object) -> None:
        self._written[self._weights_name(epoch)] = None

    def write_resume_state(self, *_: object) -> None:
        pass


def plain_loop(settings: Settings, train: Batches, val: Batches, save_to: Path | None) -> Moment:
    """Train as a plain script does; give what the epochs took."""
    torch.manual_seed(0)
    model = build_model(settings.model, settings.classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    criterion = nn.CrossEntropyLoss()
    best, began = -1.0, Moment.now()
    for epoch in range(settings.epochs):
        model.train()
        running, right, seen = 0.0, 0, 0
        for pictures, labels in train:
            optimizer.zero_grad()
            outputs = model(pictures)
            loss = criterion(outputs, labels)
            loss.backward()
            optimizer.step()
            running += loss.item()
            right += (outputs.argmax(1) == labels).sum().item()
            seen += len(labels)
        accuracy = plain_validation(model, val)
        if save_to is not None:
            torch.save(model.state_dict(), save_to / f"epoch_{epoch + 1}.pth")
            if accuracy > best:
                torch.save(model.state_dict(), save_to / "best_model.pth")
        best = max(best, accuracy)
    return Moment.now() - began


def plain_validation(model: nn.Module, val: Batches) -> float:
    model.eval()
    right = seen = 0
    with torch.no_grad():
        for pictures, labels in val:
            right += (model(pictures).argmax(1) == labels).sum().item()
            seen += len(labels)
    return right / seen


def our_loop(settings: Settings, folder: Path, *, writing: bool) -> tuple[Moment, Moment]:
    """Train with ours; give what the epochs took until the last file was in place, and the whole call."""
    output = folder / "ours"
    output.mkdir(exist_ok=True)
    plan = TrainingPlan(
        model=settings.model,
        num_classes=settings.classes,
        train_path=settings.data / "train",
        val_path=settings.data / "valid",
        output_dir=output,
        staging_dir=folder / "staging",
        batch_size=settings.batch_size,
        num_epochs=settings.epochs,
        learning_rate=3e-4,
        image_size=settings.image_size,
        threads=settings.threads,
    )
    marks: dict[Stage | None, Moment] = {}

    def report(record: TrainingRecord) -> None:
        if record.stage is not Stage.EPOCH_START or record.epoch == 1:
            marks[record.stage] = Moment.now()

    with patch.object(training, "Outputs", Outputs if writing else NoFiles):
        began = Moment.now()
        training.train(plan, report=report, should_stop=lambda: False)
        whole = Moment.now() - began
    return marks[Stage.COMPLETED] - marks[Stage.EPOCH_START], whole


def plain_decoding_every_epoch(settings: Settings) -> Moment:
    """Train a plain loop on torchvision's ImageFolder, which decodes in every epoch."""
    transforms, datasets = (importlib.import_module(f"torchvision.{part}") for part in ("transforms", "datasets"))
    side = settings.image_size
    as_tensor = transforms.Compose([transforms.Resize((side, side)), transforms.ToTensor()])
    train, val = (datasets.ImageFolder(str(settings.data / tree), as_tensor) for tree in ("train", "valid"))
    size = settings.batch_size
    return plain_loop(settings, DataLoader(train, size, shuffle=True), DataLoader(val, size), None)


def make_pictures(root: Path, *, classes: int = 6, train: int = 24, valid: int = 6) -> Path:
    """Write pictures of noise with a band per class: speed does not depend on what they show."""
    random = np.random.default_rng(0)
    for tree, count in (("train", train), ("valid", valid)):
        for label in range(classes):
            folder = root / tree / f"class{label}"
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 120, (256, 256, 3), dtype=np.uint8)
                pixels[30 * label : 30 * label + 12] += 120
                Image.fromarray(pixels).save(folder / f"{index}.jpg")
    return root


def measure(settings: Settings, rounds: int, folder: Path) -> dict[str, list[Moment]]:
    """Let all variants take turns; give what each took by round."""
    size = settings.batch_size
    train = DataLoader(InMemory(settings.data / "train", settings, folder), size, shuffle=True)
    val = DataLoader(InMemory(settings.data / "valid", settings, folder), size)
    variants: dict[str, Callable[[], Moment]] = {
        "plain loop, not saving": lambda: plain_loop(settings, train, val, None),
        "ours, not saving": lambda: our_loop(settings, folder, writing=False)[0],
        "plain loop, saving weights": lambda: plain_loop(settings, train, val, folder),
        "ours, saving weights and resume state": lambda: our_loop(settings, folder, writing=True)[0],
        "plain loop, decoding every epoch": lambda: plain_decoding_every_epoch(settings),
        "ours, decoding once, decoding included": lambda: our_loop(settings, folder, writing=False)[1],
    }
    names, seconds = list(variants), {name: [] for name in variants}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(variants[name]())
        print(f"round {number + 1} of {rounds} done", flush=True)
    return seconds


def print_table(costs: dict[str, list[Moment]]) -> None:
    names = list(costs)
    print(f"\n{'medians':42} {'wall s':>8} {'cpu s':>8}")
    for plain, ours in zip(names[::2], names[1::2], strict=True):
        for name in (plain, ours):
            wall, cpu = (statistics.median(getattr(cost, kind) for cost in costs[name]) for kind in ("wall", "cpu"))
            print(f"{name:42} {wall:8.2f} {cpu:8.2f}")
        ratios = [ratio(costs[ours], costs[plain], kind) for kind in ("wall", "cpu")]
        print(f"{'  ours / plain':42} {ratios[0]:8.3f} {ratios[1]:8.3f}\n")


def ratio(ours: Sequence[Moment], plain: Sequence[Moment], kind: str) -> float:
    return statistics.median(getattr(a, kind) / getattr(b, kind) for a, b in zip(ours, plain, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--data", type=Path, help="a folder with train and valid; made up where not given")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = options.data or make_pictures(folder / "pictures")
        classes = len(scan_class_folders(data / "train").classes)
        sizes = (options.image_size, options.batch_size, options.epochs, options.threads)
        settings = Settings(data, options.model, *sizes, classes)
        torch.set_num_threads(options.threads)
        print(settings, flush=True)
        our_loop(replace(settings, epochs=1), folder, writing=True)
        print_table(measure(settings, options.rounds, folder))


if __name__ == "__main__":
    main()
