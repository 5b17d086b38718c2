"""What optimising a network gains, and what the online engine adds to decoding and the forward pass.

    python tests/benchmarks/bench_engine.py [--model resnet18] [--size 224] [--threads 2]

Prints milliseconds: medians of interleaved runs, so that whatever else the machine does meets all of them.
"""

import argparse
import asyncio
import hashlib
import io
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from actors.learning.pictures import decode_picture
from actors.learning.predictor import Predictor
from actors.learning.zoo import build_model
from actors.online.engine import EngineOptions, OnlineEngine
from actors.online.golden import read_golden
from actors.online.optimisation import choose_form
from actors.online.orders import Content, PredictOrder
from actors.registry.records import ServedVersion

CLASSES = tuple("abcdefghijk")
ROUNDS = 9


def make_version(folder: Path, architecture: str, size: int) -> ServedVersion:
    """Random weights with golden inputs, as a registry would keep them."""
    torch.manual_seed(0)
    weights, golden = folder / "weights.pth", folder / "golden.npz"
    torch.save(build_model(architecture, len(CLASSES)).state_dict(), weights)
    np.savez(golden, inputs=np.random.default_rng(0).integers(256, size=(8, size, size, 3), dtype=np.uint8))
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return ServedVersion("bench", 1, str(weights), sha256, architecture, CLASSES, size, golden_path=str(golden))


def jpeg() -> bytes:
    """A smooth picture of 600 x 400 pixels with some noise, of a size that spectrograms have."""
    rng = np.random.default_rng(1)
    pixels = np.linspace(0, 200, 600)[None, :, None] + rng.integers(40, size=(400, 600, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def measure(works: dict[str, object], rounds: int = ROUNDS) -> dict[str, float]:
    """Run all in turn, again and again; returns the median of each in milliseconds."""
    times = {name: [] for name in works}
    for number in range(rounds + 2):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            if number >= 2:
                times[name].append(1e3 * (time.perf_counter() - begun))
    return {name: statistics.median(each) for name, each in times.items()}


def bench_forms(model: ServedVersion, device: torch.device) -> None:
    """Compare the plain network with the form that serves."""
    network = build_model(model.architecture, len(CLASSES))
    network.load_state_dict(torch.load(model.weights_path, weights_only=True))
    choice = choose_form(network, model, read_golden(model), device)
    pair = {"plain": network, "served": choice.network}
    predictors = {name: Predictor(each, CLASSES, image_size=model.image_size, device=device) for name, each in pair.items()}
    print(f"{model.architecture} at {model.image_size}: {choice.form}; {choice.reason}")
    for size in (1, 3, 4, 8):
        batch = np.random.default_rng(0).integers(256, size=(size, model.image_size, model.image_size, 3), dtype=np.uint8)
        works = {name: lambda predictor=each, batch=batch: predictor.predict(batch) for name, each in predictors.items()}
        found = measure(works)
        print(f"  batch {size}: " + ", ".join(f"{name} {each / size:.1f} ms a picture" for name, each in found.items()))


def bench_engine(model: ServedVersion, options: EngineOptions) -> None:
    """Compare one call with decoding and computing by hand, and measure many calls at once."""
    engine = OnlineEngine(options, replica_id="bench", on_load=lambda note: print(f"  loaded in {note.report.load_s:.2f} s"))
    data = jpeg()
    order = PredictOrder(model, (Content("x.jpg", "picture", data),))
    with asyncio.Runner() as runner:
        runner.run(engine.predict(order))
        network = build_model(model.architecture, len(CLASSES))
        network.load_state_dict(torch.load(model.weights_path, weights_only=True))
        choice = choose_form(network, model, read_golden(model), torch.device(options.device))
        bare = Predictor(choice.network, CLASSES, image_size=model.image_size, device=torch.device(options.device))

        async def crowd(count: int) -> None:
            await asyncio.gather(*(engine.predict(order) for _ in range(count)))

        works = {
            "decode": lambda: decode_picture(data, model.image_size),
            "bare": lambda: bare.predict(decode_picture(data, model.image_size)[None]),
            "predict()": lambda: runner.run(engine.predict(order)),
            "32 at once": lambda: runner.run(crowd(32)),
        }
        found = measure(works)
    engine.close()
    print("  " + ", ".join(f"{name} {each:.1f} ms" for name, each in found.items()))
    print(
        f"  one call adds {found['predict()'] - found['bare']:.1f} ms; 32 at once make {32e3 / found['32 at once']:.1f} pictures/s"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = make_version(Path(folder), chosen.model, chosen.size)
        bench_forms(model, torch.device(chosen.device))
        bench_engine(model, EngineOptions(chosen.device, chosen.threads, 4 << 30, 8, 0.0, 256))


if __name__ == "__main__":
    main()
