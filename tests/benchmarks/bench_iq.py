"""How fast a job goes over recordings, from files to predictions of resnet18, and how much memory it takes.

    python -m tests.benchmarks.bench_iq [--threads 2] [--seconds 4] [--rounds 3] [--recipes p1 native]
    python -m tests.benchmarks.bench_iq --huge              peak memory of a job on a sparse file of 20 GB
    python -m tests.benchmarks.bench_iq --device cuda       one GPU, samples in memory, transfer overlapped; skips without one

The recording is noise at 100 MS/s in frames of 0.1 s, in the page cache; the job is the one that the service runs, in this process.
Recipes take turns within a round; printed are medians of megasamples a second of the clock and of CPU time per core used, which
other programs on the machine disturb less. Parts of a frame's way are measured alone, with one thread.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from actors.learning.batch_inference import run_inference
from actors.learning.inference_plan import InferencePlan
from actors.learning.zoo import build_model
from actors.signals.engine import SpectrogramEngine
from actors.signals.frames import RecordingFrames
from actors.signals.recipe import Recipe
from actors.signals.recording import open_recording

RATE = 100e6
RECIPES = {
    "p1": {"pipeline": "P1", "frame_step_s": 0.1},
    "native": {"pipeline": "native"},
}
HUGE_BYTES = 20 * 10**9


def write_model(folder: Path) -> None:
    """A resnet18 that knows nothing."""
    torch.save(build_model("resnet18", 5).state_dict(), folder / "w.pth")
    keys = {"model": "resnet18", "num_classes": 5, "class_names": {name: index for index, name in enumerate("abcde")}}
    (folder / "cfg.yaml").write_text(yaml.safe_dump(keys | {"image_size": 224}))


def run_job(folder: Path, source: Path, recipe: dict, threads: int) -> int:
    """Run a job over a recording; returns its frames."""
    (folder / "out").mkdir(exist_ok=True)
    plan = InferencePlan(
        cfg_path=folder / "cfg.yaml",
        weight_path=folder / "w.pth",
        source_path=source,
        output_dir=folder / "out",
        staging_dir=folder / "out/staging",
        device="cpu",
        threads=threads,
        recipe=recipe,
    )
    outcome = run_inference(
        plan,
        report=lambda _: None,
        should_stop=lambda: False,
        publish=lambda staged, name: staged.replace(folder / "out" / name) and None,
    )
    return outcome.done


def measure(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the CPU for one run."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def compare(options: argparse.Namespace) -> None:
    """Measure whole jobs, then the parts of a frame's way."""
    samples = int(options.seconds * RATE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        source = folder / "noise_2440M_100000k.cf32"
        noise = np.random.default_rng(1)
        with source.open("wb") as file:
            for _ in range(0, samples, 10_000_000):
                noise.standard_normal(20_000_000, dtype=np.float32).tofile(file)
        costs: dict[str, list[tuple[float, float]]] = {recipe: [] for recipe in options.recipes}
        for turn in range(options.rounds + 1):
            for recipe, some in costs.items():
                cost = measure(lambda recipe=recipe: run_job(folder, source, RECIPES[recipe], options.threads))
                if turn:  # The first round warms caches.
                    some.append(cost)
        for recipe, some in costs.items():
            wall, cpu = (statistics.median(part) for part in zip(*some, strict=True))
            by_cpu = samples / cpu * options.threads / 1e6
            print(f"{recipe:8} {samples / wall / 1e6:8.1f} MS/s, {by_cpu:8.1f} by CPU time of {options.threads} cores")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
        tell_parts(source)


def tell_parts(source: Path) -> None:
    """CPU seconds of each part of a frame's way, alone."""
    torch.set_num_threads(1)
    recording = open_recording(source)
    model = build_model("resnet18", 5).eval()
    for name, choices in RECIPES.items():
        recipe = Recipe.of(choices, sample_rate=RATE)
        frames, engine = RecordingFrames(recording, recipe), SpectrogramEngine(recipe)
        samples = frames.read(0)
        inputs = engine(samples[None])
        with torch.inference_mode():
            parts = {
                "read": lambda frames=frames: frames.read(0),
                "picture": lambda engine=engine, samples=samples: engine(samples[None]),
                "picture and levels": lambda engine=engine, samples=samples: engine.with_decibels(samples[None]),
                "network": lambda inputs=inputs: model(inputs),
            }
            costs = {part: statistics.median(measure(work)[1] for _ in range(3)) for part, work in parts.items()}
        print(f"{name:8} CPU seconds a frame: " + ", ".join(f"{part} {cost:.3f}" for part, cost in costs.items()))


def measure_huge(threads: int) -> None:
    """Run a job on a sparse file of 20 GB in a process of its own, and tell the most memory that it had."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder)
        source = folder / "zeros_2440M_100000k.cf32"
        with source.open("wb") as file:
            file.truncate(HUGE_BYTES)
        for recipe in RECIPES:
            done = subprocess.run(
                [sys.executable, "-m", __spec__.name, "--job", folder, recipe, "--threads", str(threads)],
                capture_output=True,
                text=True,
                check=True,
            )
            print(f"{recipe:8} {done.stdout.strip()}")


def tell_job(folder: Path, recipe: str, threads: int) -> None:
    """Run one job and print frames, seconds and the most memory."""
    started = time.perf_counter()
    frames = run_job(folder, next(folder.glob("*.cf32")), RECIPES[recipe], threads)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{frames} frames in {time.perf_counter() - started:.0f} s, peak memory {peak / 1e6:.2f} GB")


@torch.inference_mode()
def measure_gpu(rounds: int) -> None:
    """Samples in pinned memory; while one frame is worked on, the next one travels on a stream of its own."""
    if not torch.cuda.is_available():
        print("no GPU here: skipped")
        return
    model = build_model("resnet18", 5).eval().cuda()
    samples = torch.randn(4, 10_000_000, dtype=torch.complex64).pin_memory()
    copying = torch.cuda.Stream()
    for name, choices in RECIPES.items():
        engine = SpectrogramEngine(Recipe.of(choices, sample_rate=RATE), device="cuda")
        seconds = []
        for _ in range(rounds + 1):
            torch.cuda.synchronize()
            started = time.perf_counter()
            ahead = None
            for index in range(41):
                with torch.cuda.stream(copying):
                    travelling = samples[index % 4, None].to("cuda", non_blocking=True)
                if ahead is not None:
                    model(engine(ahead))
                torch.cuda.current_stream().wait_stream(copying)
                travelling.record_stream(torch.cuda.current_stream())
                ahead = travelling
            torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        speed = 40 * 10_000_000 / statistics.median(seconds[1:])
        print(f"{name:8} {speed / 1e6:8.0f} MS/s   {speed / RATE:6.1f} x real time on {torch.cuda.get_device_name()}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4.0, help="of the recording")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--huge", action="store_true")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job:
        tell_job(Path(options.job[0]), options.job[1], options.threads)
    elif options.device == "cuda":
        measure_gpu(options.rounds)
    elif options.huge:
        measure_huge(options.threads)
    else:
        compare(options)


if __name__ == "__main__":
    main()
