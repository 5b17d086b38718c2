"""Small real networks as versions that can be served, and files to predict."""

import asyncio
import hashlib
import io
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from actors.learning.predictor import Predictor
from actors.learning.zoo import build_model
from actors.online.engine import EngineOptions, OnlineEngine
from actors.online.loading import Input, LoadedVersion
from actors.online.orders import Content, PredictOrder
from actors.registry.records import NoteLoad, ServedVersion, ServingWish

CLASSES = ("hopping", "noise", "video")
SIZE = 32
RECIPE = {"pipeline": "native", "nfft": 64, "frame_duration_s": 0.02}
RATE = 100e3


def make_network(architecture: str = "mobilenet_v3_small", seed: int = 1) -> nn.Module:
    """A network whose answers differ between pictures, as those of a trained one do."""
    torch.manual_seed(seed)
    network = build_model(architecture, len(CLASSES))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.05)
            module.running_var.uniform_(0.5, 1.0)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.05)
    return network.eval()


def write_version(folder: Path, version: int = 1, *, network: nn.Module | None = None, **parts) -> ServedVersion:
    """Weights and golden inputs in a folder, as the registry keeps them."""
    architecture, size = parts.pop("architecture", "mobilenet_v3_small"), parts.pop("image_size", SIZE)
    folder.mkdir(parents=True, exist_ok=True)
    weights, golden = folder / f"{version}.pth", folder / f"{version}.npz"
    torch.save((network or make_network(architecture, version)).state_dict(), weights)
    np.savez(golden, inputs=pictures(3, size))
    fields = {"recipe": RECIPE, "golden_path": str(golden)} | parts
    return ServedVersion("drones", version, str(weights), sha256(weights), architecture, CLASSES, size, **fields)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def with_wish(model: ServedVersion, **wish) -> ServedVersion:
    return replace(model, wish=ServingWish(**wish))


def pictures(count: int, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(count, size, size, 3), dtype=np.uint8)


def encoded(seed: int = 0, kind: str = "PNG") -> bytes:
    """A picture file."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(256, size=(40, 60, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def picture(seed: int = 0) -> Content:
    return Content(f"{seed}.png", "picture", encoded(seed))


def job_predictor(model: ServedVersion) -> Predictor:
    """What a job predicts with."""
    network = build_model(model.architecture, len(CLASSES))
    network.load_state_dict(torch.load(model.weights_path, weights_only=True))
    return Predictor(network, CLASSES, image_size=model.image_size, device=torch.device("cpu"))


def order_of(model: ServedVersion, *contents: Content, **parts) -> PredictOrder:
    return PredictOrder(model, contents or (picture(),), **parts)


OPTIONS = EngineOptions(device="cpu", threads=1, budget_bytes=1 << 30, max_batch=4, batch_wait_s=0.0, max_frames=20)


class Engines:
    """Engines of a test, with what they told of their loads; closed at its end."""

    def __init__(self) -> None:
        self.notes: list[NoteLoad] = []
        self._made: list[OnlineEngine] = []

    def __call__(self, replica_id: str = "replica-1", **options) -> OnlineEngine:
        engine = OnlineEngine(replace(OPTIONS, **options), replica_id=replica_id, on_load=self.notes.append)
        self._made.append(engine)
        return engine

    def close(self) -> None:
        for engine in self._made:
            engine.close()


class Gate:
    """Holds up forward passes, and counts them with the inputs of each."""

    def __init__(self, monkeypatch) -> None:
        self.sizes: list[int] = []
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()
        forward = LoadedVersion.forward

        def gated(version: LoadedVersion, inputs: Sequence[Input]) -> np.ndarray:
            self.sizes.append(len(inputs))
            self.entered.release()
            assert self._open.wait(60)
            return forward(version, inputs)

        monkeypatch.setattr(LoadedVersion, "forward", gated)

    def shut(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def wait_for_pass(self) -> None:
        """Wait until one more pass has begun."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=60)
