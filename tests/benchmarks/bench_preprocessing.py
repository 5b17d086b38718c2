"""Compare our augmenting and splitting with the origin's one-by-one manner, on the same pictures and cores.

    python -m tests.benchmarks.bench_preprocessing [--data DIR] [--pictures 40] [--rounds 3] [--threads 2]

The origin's manner, written anew here: one thread; for every method it decodes each picture, changes it, encodes the
result and encodes the untouched picture once more; its split copies one file after the other. Two rows for augmenting:
"same formulas" gives that manner our implementations of the methods, so that only the course of work differs; "plain
formulas" draws the noise value by value. All variants take turns within a round, in an order that
changes; printed are medians over the rounds, and medians of the ratios within a round. CPU seconds are those of the process: other programs
on the machine disturb them less than the clock. Written files lie in the page cache for all variants alike.
"""

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from actors.fence import FencedFolder
from actors.preprocessing import augment as augmenting
from actors.preprocessing import split as splitting
from actors.preprocessing.augmentations import augment, generator_for
from actors.preprocessing.pixels import Pixels
from actors.preprocessing.plan import METHODS, AugmentPlan, SplitFiles, SplitPlan
from actors.preprocessing.sources import list_tree

Variant = Callable[[Path], None]


@dataclass(frozen=True)
class Cost:
    wall_s: float
    cpu_s: float


def measure(variant: Variant, output: Path) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    variant(output)
    cost = Cost(time.perf_counter() - wall, time.process_time() - cpu)
    shutil.rmtree(output)
    return cost


def compare(title: str, variants: dict[str, Variant], folder: Path, rounds: int) -> None:
    """Run the variants in turns; the first is ours, and the others are told as multiples of it."""
    number, costs = count(), {name: [] for name in variants}
    for turn in range(rounds + 1):
        names = list(variants) if turn % 2 else list(reversed(variants))
        for name in names:
            cost = measure(variants[name], folder / str(next(number)))
            if turn:  # The first round warms caches.
                costs[name].append(cost)
    print(f"== {title}")
    ours = costs[next(iter(variants))]
    for name, theirs in costs.items():
        wall = statistics.median(cost.wall_s for cost in theirs)
        cpu = statistics.median(cost.cpu_s for cost in theirs)
        ratio = statistics.median(b.wall_s / a.wall_s for a, b in zip(ours, theirs, strict=True))
        print(f"{name:32} {wall:8.3f} s  {cpu:8.3f} CPU s  {ratio:5.2f} x ours")


def ours_augmenting(dataset: Path, threads: int) -> Variant:
    def run(output: Path) -> None:
        plan = AugmentPlan(dataset, output, METHODS, 1, threads)
        fenced = FencedFolder(output, 1)
        augmenting.run_augment(
            plan, report=lambda _: None, should_stop=lambda: False, staging=fenced.staging, publish_all=fenced.publish_all
        )
        fenced.close()

    return run


def plain(colours: Pixels, method: str, rng: Generator) -> Pixels:
    """Draw the noise of two methods value by value; the others are one call of OpenCV either way."""
    if method == "GaussNoise":
        noise = rng.normal(0, np.sqrt(rng.uniform(100, 500)), colours.shape)
        return np.clip(colours.astype(np.float32) + noise, 0, 255).astype(np.uint8)
    if method == "ISONoise":
        shift, intensity = rng.uniform(0.01, 0.05), rng.uniform(0.2, 0.5)
        hls = cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2HLS)
        deviation = hls[..., 1].std()
        grain = rng.poisson(deviation * intensity * 255, colours.shape[:2])
        hls[..., 0] = (hls[..., 0] + rng.normal(0, 360 * shift * intensity, colours.shape[:2])) % 360
        hls[..., 1] += grain / 255 * (1 - hls[..., 1])
        return (np.clip(cv2.cvtColor(hls, cv2.COLOR_HLS2RGB), 0, 1) * 255).astype(np.uint8)
    return augment(colours, method, rng)


def one_by_one(dataset: Path, change: Callable[[Pixels, str, Generator], Pixels]) -> Variant:
    def run(output: Path) -> None:
        cv2.setNumThreads(1)
        for file in list_tree(dataset).files:
            source, target = dataset / file.name, output / file.name
            target.parent.mkdir(parents=True, exist_ok=True)
            for number, method in enumerate(METHODS):
                picture = cv2.imread(str(source))
                changed = change(picture, method, generator_for(1, file.name, method))
                cv2.imwrite(str(target.with_stem(f"{target.stem}_AugM{number}")), changed)
                cv2.imwrite(str(target.with_stem(f"{target.stem}_origin")), picture)

    return run


def ours_splitting(source: Path, threads: int, files: SplitFiles = "copy") -> Variant:
    plan = SplitPlan(source, source, 0.8, None, 1, "recording", threads, files)

    def run(output: Path) -> None:
        fenced = FencedFolder(output, 1)
        splitting.run_split(
            replace(plan, output_path=output),
            report=lambda _: None,
            should_stop=lambda: False,
            staging=fenced.staging,
            publish_all=fenced.publish_all,
        )
        fenced.close()

    return run


def copying_one_by_one(source: Path) -> Variant:
    tree = list_tree(source)
    parts = splitting.assign(tree, SplitPlan(source, source, 0.8, None, 1, "recording", 1)).part_of

    def run(output: Path) -> None:
        for folder in {str(Path(parts[file.name], file.name).parent) for file in tree.files}:
            (output / folder).mkdir(parents=True)
        for file in tree.files:
            shutil.copy(f"{source}/{file.name}", f"{output}/{parts[file.name]}/{file.name}")

    return run


def make_pictures(folder: Path, size: int, number: int) -> None:
    """Draw noise with bright bursts, about as costly to encode as a spectrogram."""
    rng = np.random.default_rng(1)
    for index in range(number):
        grey = rng.normal(90, 12, (size, size))
        for _ in range(12):
            x, y = rng.integers(0, size, 2)
            grey[y : y + size // 20, x : x + size // 8] += 100
        target = folder / "train" / f"class{index % 2}" / f"rec{index // 8}_{index}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), cv2.applyColorMap(np.clip(grey, 0, 255).astype(np.uint8), cv2.COLORMAP_JET))


def gather(data: Path, folder: Path, number: int) -> None:
    """Copy every so manieth picture of a dataset."""
    files = list_tree(data, depth=2).files
    for file in files[:: max(1, len(files) // number)]:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / file.name, folder / file.name)


def multiply(source: Path, folder: Path, copies: int) -> None:
    """Make a folder large enough to time its copying."""
    for file in list_tree(source, depth=2).files:
        target = folder / Path(*Path(file.name).parts[1:])
        target.parent.mkdir(parents=True, exist_ok=True)
        for copy in range(copies):
            shutil.copy(source / file.name, target.with_stem(f"r{copy}_{target.stem}"))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, help="a dataset with train and valid; without it pictures are drawn")
    parser.add_argument("--size", type=int, default=512, help="pixels of a side of the drawn pictures")
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--copies", type=int, default=50, help="copies of each picture to split")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--temporary", type=Path, help="where to write")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.temporary) as name:
        folder = Path(name)
        dataset, many = folder / "dataset", folder / "many"
        if options.data:
            gather(options.data, dataset, options.pictures)
        else:
            make_pictures(dataset, options.size, options.pictures)
        multiply(dataset, many, options.copies)
        pictures = len(list_tree(dataset).files)
        variants = {
            f"ours, {options.threads} threads": ours_augmenting(dataset, options.threads),
            "ours, 1 thread": ours_augmenting(dataset, 1),
            "one by one, same formulas": one_by_one(dataset, augment),
            "one by one, plain formulas": one_by_one(dataset, plain),
        }
        compare(f"augment {pictures} pictures by {len(METHODS)} methods", variants, folder, options.rounds)
        variants = {
            f"ours, {options.threads} threads": ours_splitting(many, options.threads),
            "ours, 1 thread": ours_splitting(many, 1),
            f"ours, {options.threads} threads, links": ours_splitting(many, options.threads, "link"),
            "one by one": copying_one_by_one(many),
        }
        compare(f"split {len(list_tree(many).files)} files", variants, folder, options.rounds)


if __name__ == "__main__":
    main()
