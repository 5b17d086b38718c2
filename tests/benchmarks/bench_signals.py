"""How fast recordings are read: from files in the page cache to complex float32.

    python -m tests.benchmarks.bench_signals [--megasamples 16] [--rounds 5]

Frames of 0.1 s at 100 MS/s would be as large as the whole file; frames of a million samples show the same path. Beside ours
stands numpy's plain way, which holds the whole file. Both take turns within a round; printed are medians, in millions of
samples a second of the clock, and of this process's CPU time, which other programs on the machine disturb less.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from actors.signals.frames import RecordingFrames
from actors.signals.recipe import Recipe
from actors.signals.recording import Recording, open_recording

#: ending -> (numpy's type of one value, what is subtracted, what is multiplied)
KINDS = {".cu8": ("u1", 127.5, 1 / 127.5), ".cs16": ("<i2", 0.0, 2.0**-15), ".cf32": ("<f4", 0.0, 1.0)}
FRAME = 1_000_000


def read_frames(recording: Recording) -> None:
    """Our way over a recording."""
    frames = RecordingFrames(recording, Recipe.native(recording.sample_rate, frame_duration_s=FRAME / recording.sample_rate))
    for index in range(len(frames)):
        frames.read(index)


def read_plainly(path: Path) -> None:
    """What one writes without a reader."""
    dtype, middle, scale = KINDS[path.suffix]
    values = np.fromfile(path, dtype=dtype).astype(np.float32)
    if scale != 1.0:
        values = (values - np.float32(middle)) * np.float32(scale)
    values.view(np.complex64)


def write(folder: Path, ending: str, samples: int) -> Path:
    """Noise in every bit pattern but those of NaN."""
    generator = np.random.default_rng(1)
    dtype = KINDS[ending][0]
    path = folder / f"noise{ending}"
    if dtype == "<f4":
        generator.standard_normal(2 * samples, dtype=np.float32).tofile(path)
    else:
        limits = np.iinfo(dtype)
        generator.integers(limits.min, limits.max, 2 * samples, dtype=dtype, endpoint=True).tofile(path)
    return path


def measure(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds of the clock and of the CPU for one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(path: Path, count: int, rounds: int) -> None:
    """Print one line for a file."""
    recording = open_recording(path, sample_rate=1e8)
    turns = [(*measure(lambda: read_frames(recording)), *measure(lambda: read_plainly(path))) for _ in range(rounds + 1)]
    speeds = [count / statistics.median(times) / 1e6 for times in zip(*turns[1:], strict=True)]
    ratio = statistics.median(turn[3] / turn[1] for turn in turns[1:])
    print(f"{path.suffix:8}" + "".join(f"{speed:14.0f}" for speed in speeds) + f"{ratio:14.2f}")


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megasamples", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count = options.megasamples * 1_000_000
    titles = ("ours", "ours, CPU", "plain", "plain, CPU", "ratio of CPU")
    print(" " * 8 + "".join(f"{title:>14}" for title in titles))
    with tempfile.TemporaryDirectory() as folder:
        for ending in KINDS:
            compare(write(Path(folder), ending, count), count, options.rounds)


if __name__ == "__main__":
    main()
