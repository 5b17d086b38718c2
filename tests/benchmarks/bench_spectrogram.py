"""Compare our spectrograms with RFUAV's way of making them, in one run on the same samples and cores.

    python -m tests.benchmarks.bench_spectrogram [--threads 2] [--rounds 5] [--device cpu] [--no-reference]

RFUAV's way, written anew: scipy's STFT, matplotlib's picture as PNG in memory, Pillow's resizing to 224 x 224; its time for
one frame of 0.1 s at 100 MS/s stands against ours. As a task does, several threads make a frame each, with torch at one
thread; a frame's time is theirs divided by their number. Both take turns; printed are medians and the median of the
ratios within a round. Native pictures are told as millions of samples per second. CPU seconds are those of the process:
other programs on the machine disturb them less than the clock.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import matplotlib as mpl
import numpy as np
import torch
from PIL import Image
from scipy import signal

from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe
from actors.workers.process import keep_freed_memory

mpl.use("agg")
from matplotlib import pyplot as plt

Cost = tuple[float, float]


def measure(work: Callable[[], object], device: str, frames: int = 1) -> Cost:
    """Return wall and CPU seconds of a frame."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return (time.perf_counter() - wall) / frames, (time.process_time() - cpu) / frames


def side_by_side(engine: SpectrogramEngine, frame: torch.Tensor, pool: ThreadPoolExecutor, threads: int) -> Callable[[], object]:
    """Make a frame on each thread at once."""
    return lambda: [*pool.map(engine, [frame] * threads)]


def rfuavs_way(samples: np.ndarray) -> torch.Tensor:
    window = signal.windows.hamming(1024)
    _, _, spectrum = signal.stft(samples, 100e6, window=window, nperseg=1024, return_onesided=False)
    figure = plt.figure()
    plt.imshow(10 * np.log10(np.abs(np.fft.fftshift(spectrum, axes=0))), aspect="auto", cmap="jet", origin="lower")
    plt.axis("off")
    plt.subplots_adjust(left=0, right=1, bottom=0, top=1)
    buffer = io.BytesIO()
    plt.savefig(buffer, format="png", dpi=300)
    plt.close(figure)
    small = Image.open(buffer).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1) / 255


def tell(name: str, costs: list[Cost], samples: int, rate: float = 100e6) -> None:
    wall, cpu = (statistics.median(cost[part] for cost in costs) for part in (0, 1))
    speed = samples / wall
    print(f"{name:36} {wall:8.3f} s  {cpu:8.3f} CPU s  {speed / 1e6:8.1f} MS/s  {speed / rate:6.2f} x real time")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-reference", action="store_true", help="without RFUAV's way, which takes some seconds a round")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    keep_freed_memory()
    pool = ThreadPoolExecutor(options.threads)
    samples = np.random.default_rng(1).standard_normal((10_000_000, 2), dtype=np.float32).view(np.complex64)[:, 0]
    frame = torch.from_numpy(samples)[None]
    recipes = {
        "P1": Recipe.p1(),
        "native, half overlapping": Recipe.native(100e6),
        "native, no overlap": Recipe.native(100e6, overlap=0.0),
    }
    engines = {name: SpectrogramEngine(recipe, device=options.device) for name, recipe in recipes.items()}
    costs: dict[str, list[Cost]] = {name: [] for name in (*engines, "RFUAV's way")}
    for turn in range(options.rounds + 1):
        for name, engine in engines.items():
            work = side_by_side(engine, frame, pool, options.threads)
            cost = measure(work, options.device, options.threads)
            costs[name] += [cost] if turn else []  # The first round warms caches.
        if turn and not options.no_reference:
            costs["RFUAV's way"].append(measure(lambda: rfuavs_way(samples), options.device))
    for name, some in costs.items():
        if some:
            tell(name, some, len(samples))
    pool.shutdown()
    if costs["RFUAV's way"]:
        pairs = list(zip(costs["RFUAV's way"], costs["P1"], strict=True))
        wall, cpu = (statistics.median(theirs[part] / ours[part] for theirs, ours in pairs) for part in (0, 1))
        print(f"P1 is {wall:.1f} times as fast as RFUAV's way ({cpu:.1f} times in CPU seconds)")


if __name__ == "__main__":
    main()
