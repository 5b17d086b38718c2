"""What a running service costs: time to READY, memory, answers with 1,000 tasks stored, submissions, the first training step.

Starts a service of its own on a temporary state folder whose store holds 1,000 ended tasks, and prints one table. Latencies are of one
client on loopback with its connection kept open, which is how browsers and scripts talk.
"""

import http.client
import json
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from actors.core import task_events as te
from actors.core.model import Lease, Portion, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import Progress, Submission
from actors.store import Store
from cluster.ports import find_free_port
from tests.service.driving import run_cli
from tests.service.pictures import write_coloured

STORED = 1_000
METRICS = dict.fromkeys(
    ("train_loss", "val_loss", "val_acc", "macro_f1", "micro_f1", "mAP", "top1_acc", "top3_acc", "best_acc"), 97.5
)
PARTS = ("accountant", "supervisor", "log_hub", "ingress")


def fill_store(state: Path) -> None:
    """Write 1,000 completed trainings, as a service would have."""
    flow = TaskFlow()
    for number in range(STORED):
        task_id = f"old-{number:04d}"
        request = {"model": "resnet18", "num_epochs": 100, "name": f"run {number}", "description": "an old training of the lab"}
        flow.handle(te.TaskSubmitted(Submission(task_id, WorkKind.TRAINING, "training", request, "cpu", 5)), now=float(number))
        lease = Lease(f"old-{number}", number, flow.lease_request(flow.get(task_id)), (Portion("cpu:0", 1200, 0),), float(number))
        flow.handle(te.LeaseGranted(lease), now=number + 0.1)
        progress = Progress(100, "trained 100 epochs", 100, 100, METRICS)
        flow.handle(te.AttemptEnded(f"{task_id}.1", "completed", "trained 100 epochs", progress=progress), now=number + 0.5)
    store = Store(f"sqlite:///{state / 'store.sqlite'}")
    store.write_tasks(flow.tasks.values())
    store.close()


def measure(client: httpx.Client, path: str, count: int = 400) -> tuple[float, float]:
    """p50 and p99 of a GET, in ms, over a plain connection: httpx alone would add most of a millisecond."""
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    times = []
    for _ in range(count):
        begin = time.perf_counter()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - begin) * 1000)
        assert answer.status == 200
    connection.close()
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.99)]


def training_body(data: Path, name: str, **changes: object) -> dict:
    body = {"model": "resnet18", "num_classes": 2, "train_path": str(data / "train"), "val_path": str(data / "valid")}
    body |= {"save_path": str(data.parent / "out"), "name": name, "batch_size": 8, "num_epochs": 1, "image_size": 64}
    return body | {"pretrained": False, "device": "cpu"} | changes


def first_step_s(client: httpx.Client, data: Path, name: str) -> float:
    """Seconds from the submission to the first line that reports a trained batch; returns when the training has ended."""
    begin = time.perf_counter()
    task_id = client.post("/api/v2/training/start", json=training_body(data, name)).json()["task_id"]
    first = 0.0
    with client.stream("GET", f"/api/v2/tasks/{task_id}/logs") as answer:
        for line in answer.iter_lines():
            if not first and line.startswith("data: ") and json.loads(line[6:]).get("stage") == "training":
                first = time.perf_counter() - begin
    return first


def submit_ms(client: httpx.Client, data: Path, count: int = 60) -> float:
    """p50 of submissions that join the line of a device which takes none at present, in ms; withdraws them again."""
    client.post("/api/v2/resources/config", json={"max_concurrent": {"cuda:1": {"training": 0}}})
    times, ids = [], []
    for number in range(count):
        body = training_body(data, f"line-{number}", device="cuda:1")
        begin = time.perf_counter()
        answer = client.post("/api/v2/training/start", json=body)
        times.append((time.perf_counter() - begin) * 1000)
        ids.append(answer.json()["task_id"])
    for task_id in reversed(ids):
        client.post(f"/api/v2/tasks/{task_id}/cancel")
    return statistics.median(times)


def memory_mb(state: Path, part: str) -> float:
    pid = json.loads((state / "run" / f"{part}.json").read_text())["pid"]
    return psutil.Process(pid).memory_info().rss / 2**20


def run(folder: Path) -> None:
    state, port = folder / "state", find_free_port()
    state.mkdir()
    fill_store(state)
    data = write_coloured(folder / "data" / "set", train=64, valid=8, size=64)
    begin = time.perf_counter()
    up = run_cli("up", "--detach", "--port", port, "--state-dir", state, "--simulate-gpus", 2, "--data-root", folder, cwd=folder)
    assert up.returncode == 0, up.stderr
    print(f"rfuav up to READY                        {time.perf_counter() - begin:8.1f} s")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            measure_all(client, state, data)
    finally:
        run_cli("down", "--state-dir", state, cwd=folder)


def measure_all(client: httpx.Client, state: Path, data: Path) -> None:
    for part in PARTS:
        print(f"memory of {part:<30} {memory_mb(state, part):8.0f} MB")
    paths = {
        "GET /tasks/{id}": "/api/v2/tasks/old-0500",
        "GET /tasks (100)": "/api/v2/tasks",
        "GET /resources": "/api/v2/resources",
    }
    measure(client, paths["GET /tasks/{id}"], 100)
    for name, path in paths.items():
        runs = [measure(client, path) for _ in range(5)]
        print(f"{name:<18} idle                p50 {statistics.median(run[0] for run in runs):7.2f} ms")
    print(
        f"submit to the first training step        {statistics.median(first_step_s(client, data, f'first-{n}') for n in range(3)):8.1f} s"
    )
    print(f"submitting                          p50  {submit_ms(client, data):8.1f} ms")
    ids = [
        client.post("/api/v2/training/start", json=training_body(data, f"beside-{n}", num_epochs=1_000, keep_checkpoints=1)).json()[
            "task_id"
        ]
        for n in (1, 2)
    ]
    while not all(client.get(f"/api/v2/tasks/{task_id}").json()["current_epoch"] for task_id in ids):
        time.sleep(0.1)
    for name, path in paths.items():
        runs = [measure(client, path) for _ in range(3)]
        p50, p99 = (statistics.median(run[each] for run in runs) for each in (0, 1))
        print(f"{name:<18} beside 2 trainings  p50 {p50:7.2f} ms   p99 {p99:7.2f} ms")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rfuav-bench-") as folder:
        run(Path(folder).resolve())


if __name__ == "__main__":
    main()
