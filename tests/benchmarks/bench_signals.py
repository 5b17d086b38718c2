"""How fast recordings are read: from files in the page cache to complex float32.

    python -m tests.benchmarks.bench_signals [--megasamples 16] [--rounds 5]

Frames of 0.1 s at 100 MS/s would be as large as the whole file; frames of a million samples show the same path. Beside ours
stands numpy's plain way, which holds the whole file. All take turns within a round; printed are medians, in millions of
samples a second.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from actors.signals.recording import Recording, open_recording

#: ending -> (numpy's type of one value, what is subtracted, what is multiplied)
KINDS = {".cu8": ("u1", 127.5, 1 / 127.5), ".cs16": ("<i2", 0.0, 2.0**-15), ".cf32": ("<f4", 0.0, 1.0)}
FRAME = 1_000_000


def read_frames(recording: Recording) -> None:
    """Our way over a recording."""
    for _ in recording.frames(FRAME, FRAME, tail="pad"):
        pass


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


def seconds(work: Callable[[], None]) -> float:
    """The time of one run."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure every kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megasamples", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    count = options.megasamples * 1_000_000
    print(f"{'':8}{'ours':>10}{'plain':>10}{'ratio':>8}   MS/s")
    with tempfile.TemporaryDirectory() as folder:
        for ending in KINDS:
            path = write(Path(folder), ending, count)
            recording = open_recording(path, sample_rate=1e8)
            turns = [
                (seconds(lambda: read_frames(recording)), seconds(lambda: read_plainly(path)))  # noqa: B023
                for _ in range(options.rounds + 1)
            ][1:]
            ours, plain = (statistics.median(times) for times in zip(*turns, strict=True))
            ratio = statistics.median(theirs / mine for mine, theirs in turns)
            print(f"{ending:8}{count / ours / 1e6:10.0f}{count / plain / 1e6:10.0f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
