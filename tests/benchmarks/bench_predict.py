"""Online prediction beside other ways to serve the same weights: resnet18 at 224 pixels, JPEG in, JSON out.

All servers are up at once and measured in turn, five times; the table shows medians. Every side has two threads, the same pictures and
the same clients. The rivals stand still while they are not measured, since LitServe's processes ask their queues all the time; the service
goes on with its watches, and what these take is printed. LitServe is measured where it is installed (``rival_litserve`` tells how).
After the tables: what two trainings cost one client, how long a promotion takes, and how soon a new replica answers.

    python -m tests.benchmarks.bench_predict [ROUNDS] [SECONDS]
"""

import importlib.util
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import torch
from PIL import Image

from actors.learning.zoo import build_model
from cluster.ports import can_listen, find_free_port
from cluster.processes import find_processes, instance_mark
from tests.benchmarks.load import Load, measure
from tests.benchmarks.rivals import Classifier
from tests.service.driving import clean_environment, run_cli
from tests.service.pictures import write_coloured

CLASSES = 10
THREADS = 2
MANY = 32
CONFIG = "model: resnet18\nnum_classes: 10\nimage_size: 224\nclass_names: [a, b, c, d, e, f, g, h, i, j]\n"


@dataclass(frozen=True)
class Side:
    """One way to serve, and where."""

    name: str
    url: str
    as_form: bool = False
    group: int = 0  # the processes to stop while another side is measured; 0: none


@dataclass(frozen=True)
class Made:
    """What all sides are given."""

    folder: Path
    weights: Path
    pictures: Path


def make(folder: Path) -> Made:
    """Write random weights and pictures like spectrograms."""
    torch.manual_seed(0)
    weights, pictures = folder / "weights.pth", folder / "pictures"
    torch.save(build_model("resnet18", CLASSES).state_dict(), weights)
    (folder / "config.yaml").write_text(CONFIG)
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for number in range(16):
        small = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8))
        small.resize((640, 480), Image.Resampling.BILINEAR).save(pictures / f"{number}.jpg", quality=90)
    write_coloured(folder / "data", train=200, valid=40, size=64)
    return Made(folder, weights, pictures)


def measure_bare(made: Made) -> tuple[float, float]:
    """Milliseconds of decoding, and of the plain forward pass, for one picture."""
    classifier = Classifier(str(made.weights), CLASSES, THREADS)
    bodies = [path.read_bytes() for path in sorted(made.pictures.glob("*.jpg"))]
    decoding, forward = [], []
    for body in bodies * 4:
        began = time.perf_counter()
        picture = classifier.decode(body)[None]
        decoded = time.perf_counter()
        classifier.predict(picture)
        decoding.append(decoded - began)
        forward.append(time.perf_counter() - decoded)
    return statistics.median(decoding) * 1e3, statistics.median(forward) * 1e3


@contextmanager
def rival(name: str, *words: object, as_form: bool = False) -> Iterator[Side]:
    """Run a rival, which stands still; its first free word is its port."""
    port = find_free_port()
    command = [sys.executable, "-m", *(str(port) if word is None else str(word) for word in words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        while can_listen("127.0.0.1", port):
            assert process.poll() is None, f"{command} ended"
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGSTOP)
        yield Side(name, f"http://127.0.0.1:{port}/predict", as_form, process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)


@contextmanager
def service(made: Made) -> Iterator[httpx.Client]:
    """Run this project's service with its usual settings, and register the weights as it chooses and as they are."""
    port, state = find_free_port(), made.folder / "state"
    environ = clean_environment() | {"RFUAV_TORCH_THREADS": str(THREADS)}
    up = run_cli(
        "up", "--detach", "--port", port, "--state-dir", state, "--data-root", made.folder, cwd=made.folder, environ=environ
    )
    assert up.returncode == 0, up.stderr
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            files = {"cfg_path": "config.yaml", "weight_path": "weights.pth", "alias": "production"}
            register(client, {"name": "chosen", **files})
            register(client, {"name": "plain", **files, "precision": "float32", "optimise": False})
            yield client
    finally:
        run_cli("down", "--state-dir", state, cwd=made.folder)


def register(client: httpx.Client, body: dict[str, object]) -> dict[str, object]:
    """Register a version, and print what was chosen for it."""
    answer = client.post("/api/v2/models", json=body)
    assert answer.status_code == httpx.codes.OK, answer.text
    told: dict[str, object] = answer.json()
    print(f"{body['name']}: {json.dumps(told['model_card']['serving'])}")  # type: ignore[index]
    return told


def interleaved(sides: list[Side], clients: int, rounds: int, seconds: float, made: Made) -> dict[str, list[Load]]:
    """Measure the sides in turn."""
    seen: dict[str, list[Load]] = {side.name: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            with awake(side):
                seen[side.name].append(measure(side.url, clients, seconds, made.pictures, as_form=side.as_form))
    return seen


@contextmanager
def awake(side: Side) -> Iterator[None]:
    """Let a rival run for a while."""
    if not side.group:
        yield
        return
    os.killpg(side.group, signal.SIGCONT)
    try:
        yield
    finally:
        os.killpg(side.group, signal.SIGSTOP)


def print_table(clients: int, seen: dict[str, list[Load]]) -> None:
    """Print medians over the rounds, and the throughput beside the first side's."""
    print(f"\n{clients} client{'s' if clients > 1 else ''}: per second, p50 ms, p99 ms, failed, times the first")
    first = median(next(iter(seen.values())), lambda load: load.per_s)
    for name, loads in seen.items():
        per_s, p50, p99 = (median(loads, read) for read in (lambda e: e.per_s, lambda e: e.p50_ms, lambda e: e.p99_ms))
        print(f"{name:10} {per_s:8.1f} {p50:8.1f} {p99:8.1f} {sum(load.failed for load in loads):4d} {first / per_s:6.2f}")


def median(loads: list[Load], read: Callable[[Load], float]) -> float:
    """The median of one figure."""
    return statistics.median(read(load) for load in loads)


def measure_beside_trainings(client: httpx.Client, side: Side, rounds: int, seconds: float, made: Made) -> None:
    """Measure one client without and with two trainings, in turn."""
    seen: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for is_busy, medians in seen.items():
            tasks = [start_training(client, number) for number in range(2)] if is_busy else []
            medians.append(measure(side.url, 1, seconds, made.pictures).p50_ms)
            for task_id in tasks:
                client.post(f"/api/v2/tasks/{task_id}/kill")
                wait_for(lambda task_id=task_id: client.get(f"/api/v2/tasks/{task_id}").json()["status"] == "cancelled")
    idle, busy = (statistics.median(each) for each in seen.values())
    print(f"\none client: p50 {idle:.1f} ms idle, {busy:.1f} ms beside two trainings: {busy / idle:.2f} times")


def start_training(client: httpx.Client, number: int) -> str:
    """Start a training that would take for ever, and wait until it learns."""
    body = {"model": "resnet18", "num_classes": 2, "train_path": "data/train", "val_path": "data/valid", "pretrained": False}
    body |= {"save_path": f"out{number}", "num_epochs": 1_000_000, "image_size": 64, "device": "cpu", "keep_checkpoints": 1}
    task_id: str = client.post("/api/v2/training/start", json=body).json()["task_id"]
    wait_for(lambda: client.get(f"/api/v2/tasks/{task_id}").json()["current_epoch"])
    return task_id


def measure_promotions(client: httpx.Client, count: int = 6) -> None:
    """Time promotions of a version that is not loaded."""
    register(client, {"name": "chosen", "cfg_path": "config.yaml", "weight_path": "weights.pth"})
    times = []
    for number in range(count):
        began = time.perf_counter()
        answer = client.put("/api/v2/models/chosen/aliases/production", json={"version": 2 - number % 2})
        times.append(time.perf_counter() - began)
        assert answer.status_code == httpx.codes.OK, answer.text
    print(f"promotion: {statistics.median(times):.2f} s (longest {max(times):.2f})")


def measure_replacement(client: httpx.Client, made: Made) -> None:
    """Kill every replica and ask until one answers."""
    replicas = [
        replica for device in client.get("/api/v2/resources").json()["devices"] for replica in device["serving"]["replicas"]
    ]
    for replica in replicas:
        os.kill(replica["pid"], signal.SIGKILL)
    began = time.perf_counter()
    body = next(iter(sorted(made.pictures.glob("*.jpg")))).read_bytes()

    def is_answered() -> bool:
        answer = client.post("/api/v2/predict?model=chosen", content=body, headers={"Content-Type": "image/jpeg"})
        return answer.status_code == httpx.codes.OK

    wait_for(is_answered)
    print(f"a new replica's first answer after {time.perf_counter() - began:.1f} s, its predecessor killed at 0")


def wait_for(is_so: Callable[[], object]) -> None:
    """Ask until it is so."""
    deadline = time.monotonic() + 120
    while not is_so():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.05)


def run(made: Made, rounds: int, seconds: float) -> None:
    """Bring everything up, measure, and print."""
    decode_ms, forward_ms = measure_bare(made)
    print(f"bare: decoding {decode_ms:.1f} ms, plain forward {forward_ms:.1f} ms")
    words = (made.weights, CLASSES, THREADS)
    with service(made) as client, rival("fastapi", "tests.benchmarks.rivals", "fastapi", None, *words) as fastapi:
        url = f"{str(client.base_url).rstrip('/')}/api/v2/predict?model="
        sides = [Side("chosen", f"{url}chosen"), Side("plain", f"{url}plain"), fastapi]
        if importlib.util.find_spec("litserve") is None:
            print("LitServe is not installed and is left out")
            compare(client, sides, rounds, seconds, made)
        else:
            with rival("litserve", "tests.benchmarks.rival_litserve", None, *words, as_form=True) as litserve:
                compare(client, [*sides, litserve], rounds, seconds, made)


def compare(client: httpx.Client, sides: list[Side], rounds: int, seconds: float, made: Made) -> None:
    """Print all figures."""
    print(f"the service's watches take {idle_cores(made):.2f} cores")
    with rival("reload", "tests.benchmarks.rivals", "reload", None, made.weights, CLASSES, THREADS) as reloading:
        print_table(1, interleaved([*sides, reloading], 1, rounds, seconds, made))  # it is a loop: more clients only wait longer
    print_table(MANY, interleaved(sides, MANY, rounds, seconds, made))
    measure_beside_trainings(client, sides[0], min(rounds, 3), seconds, made)
    measure_promotions(client)
    measure_replacement(client, made)


def idle_cores(made: Made, seconds: float = 5.0) -> float:
    """The processor time that the service takes while nobody asks."""

    def spent() -> float:
        times = [process.cpu_times() for process in find_processes(instance_mark(made.folder / "state"))]
        return sum(each.user + each.system for each in times)

    before = spent()
    time.sleep(seconds)
    return (spent() - before) / seconds


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 8.0
    with tempfile.TemporaryDirectory(prefix="rfuav-bench-") as folder:
        run(make(Path(folder).resolve()), rounds, seconds)


if __name__ == "__main__":
    main()
