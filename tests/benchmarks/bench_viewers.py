"""What 500 viewers of one training cost the others: latencies of 50 requests a second beside them.

Starts a service of its own, lets a training run, and follows its log with 500 connections at once. Latencies are taken from when each
request was due, so one that had to wait for the one before it counts with its wait. The viewers are this process,
the requests come from another, and all share the machine with the service and its training.
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from cluster.ports import find_free_port
from tests.service.driving import run_cli
from tests.service.pictures import write_coloured
from tests.service.viewers import watch_together

VIEWERS = 500
PER_S = 50.0
SECONDS = 30.0


def training_body(data: Path) -> dict:
    body = {"model": "mobilenet_v3_small", "num_classes": 2, "train_path": str(data / "train"), "val_path": str(data / "valid")}
    body |= {
        "save_path": str(data.parent / "out"),
        "batch_size": 16,
        "num_epochs": 1_000_000,
        "keep_checkpoints": 1,
        "image_size": 64,
    }
    return body | {"pretrained": False, "device": "cpu", "keep_checkpoints": 1}


async def measure(port: int, task_id: str, viewers: int) -> None:
    """Follow a running training for a while, then cancel it, and print what was seen."""
    beside = [f"/api/v2/tasks/{task_id}", "/api/v2/resources", "/api/v2/tasks?limit=20"]

    async def cancel_later() -> None:
        await asyncio.sleep(SECONDS)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            (await client.post(f"/api/v2/tasks/{task_id}/cancel")).raise_for_status()

    begin = time.perf_counter()
    later = asyncio.create_task(cancel_later())
    watched, answered = await watch_together(port, f"/api/v2/tasks/{task_id}/logs", beside, viewers=viewers, per_s=PER_S)
    await later
    took_s = time.perf_counter() - begin
    lines = len(watched[0].ids)
    complete = sum(each.ids == list(range(1, lines + 1)) for each in watched)
    latencies = sorted(answered.latencies_s)
    p50, p99 = statistics.median(latencies) * 1000, latencies[int(len(latencies) * 0.99)] * 1000
    print(f"{viewers} viewers saw {lines} lines in {took_s:.0f} s; {complete} of them every line once and in order")
    print(f"{len(latencies)} requests beside them ({len(answered.failures)} failed): p50 {p50:.1f} ms   p99 {p99:.1f} ms")


def cpu_s(state: Path) -> float:
    """Seconds of processor that the ingress has taken."""
    times = psutil.Process(json.loads((state / "run/ingress.json").read_text())["pid"]).cpu_times()
    return times.user + times.system


def run_on(port: int, state: Path, data: Path, viewers: int) -> None:
    """Measure on a running service."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        task_id = client.post("/api/v2/training/start", json=training_body(data)).json()["task_id"]
        while not client.get(f"/api/v2/tasks/{task_id}").json()["current_epoch"]:
            time.sleep(0.1)
        begin = cpu_s(state)
        asyncio.run(measure(port, task_id, viewers))
        print(f"the ingress took {cpu_s(state) - begin:.1f} s of a core")


def run(folder: Path, viewers: int) -> None:
    state, port = folder / "state", find_free_port()
    data = write_coloured(folder / "data", train=200, valid=40, size=64)
    up = run_cli("up", "--detach", "--port", port, "--state-dir", state, "--data-root", folder, cwd=folder)
    assert up.returncode == 0, up.stderr
    try:
        for count in (0, viewers):
            run_on(port, state, data, max(count, 1))
    finally:
        run_cli("down", "--state-dir", state, cwd=folder)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="rfuav-bench-") as folder:
        run(Path(folder).resolve(), int(sys.argv[1]) if len(sys.argv) > 1 else VIEWERS)


if __name__ == "__main__":
    main()
