"""Talking HTTP to a running service as its users do."""

import json
import time
from pathlib import Path

import httpx

ENDED = ("completed", "failed", "cancelled")


class Http:
    """Requests to one service, and waiting for what they lead to."""

    def __init__(self, url: str, data: Path, key: str | None = None):
        self.client = httpx.Client(base_url=url, timeout=60, headers={"X-API-Key": key} if key else None)
        self.data = data

    def train(self, name: str, **changes) -> dict:
        return self.post("/api/v2/training/start", self.training_body(name, **changes))

    def training_body(self, name: str, **changes) -> dict:
        body = {
            "model": "mobilenet_v3_small",
            "num_classes": 2,
            "train_path": str(self.data / "train"),
            "val_path": str(self.data / "valid"),
            "save_path": str(self.data.parent / "out"),
            "name": name,
            "batch_size": 8,
            "num_epochs": 1,
            "learning_rate": 1e-3,
            "image_size": 32,
            "pretrained": False,
            "device": "cpu",
        }
        return body | changes

    def infer(self, name: str, model: Path, **changes) -> dict:
        body = {
            "cfg_path": str(model / "config.yaml"),
            "weight_path": str(model / "best_model.pth"),
            "source_path": str(self.data / "valid"),
            "save_path": str(self.data.parent / "inferred"),
            "name": name,
            "device": "cpu",
        }
        return self.post("/api/v2/inference/start", body | changes)

    def post(self, path: str, body: dict | None = None, expect: int = 200) -> dict:
        answer = self.client.post(path, json=body) if body is not None else self.client.post(path)
        assert answer.status_code == expect, answer.text
        return answer.json()

    def task(self, task_id: str) -> dict:
        answer = self.client.get(f"/api/v2/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def wait_until_ready(self, deadline_s: float = 60) -> None:
        """Wait until the ingress answers again."""
        end = time.monotonic() + deadline_s
        while True:
            try:
                if self.client.get("/api/v2/resources").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < end, "the ingress did not come back"
            time.sleep(0.05)

    def wait(self, task_id: str, *states: str, deadline_s: float = 120) -> dict:
        """The task once it is in one of the states (by default: ended)."""
        end = time.monotonic() + deadline_s
        while True:
            task = self.task(task_id)
            if task["status"] in (states or ENDED):
                return task
            assert task["status"] not in ENDED, f"it ended instead: {task}"
            assert time.monotonic() < end, f"still {task}"
            time.sleep(0.05)

    def wait_for_epoch(self, task_id: str, epoch: int, deadline_s: float = 120) -> dict:
        """The task once it trains in this epoch."""
        end = time.monotonic() + deadline_s
        while True:
            task = self.task(task_id)
            if (task["current_epoch"] or 0) >= epoch:
                return task
            assert task["status"] not in ENDED, f"it ended instead: {task}"
            assert time.monotonic() < end, f"still {task}"
            time.sleep(0.05)

    def log(self, task_id: str) -> list[dict]:
        """Every record of a task's log, read as a stream to its end."""
        with self.client.stream("GET", f"/api/v2/tasks/{task_id}/logs") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]

    def held(self, device: str) -> float:
        """The fraction of a device that leases hold."""
        devices = self.client.get("/api/v2/resources").json()["devices"]
        return next(each["held"] for each in devices if each["device"] == device)

    def wait_until_free(self, device: str, deadline_s: float) -> None:
        end = time.monotonic() + deadline_s
        while self.held(device) > 0:
            assert time.monotonic() < end, f"{device} still holds {self.held(device)}"
            time.sleep(0.05)

    def check(self) -> list[dict]:
        """The differences between ledger, Ray's books and live processes."""
        answer = self.client.get("/api/v2/resources/check")
        assert answer.status_code == 200, answer.text
        return answer.json()["differences"]

    def why(self, task_id: str) -> dict:
        answer = self.client.get(f"/api/v2/tasks/{task_id}/why")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def limit(self, device: str, **limits: int) -> None:
        self.post("/api/v2/resources/config", {"max_concurrent": {device: limits}})

    def count(self, ids: list[str], *states: str) -> int:
        """How many of these tasks are in one of the states."""
        return sum(self.task(task_id)["status"] in states for task_id in ids)

    def unfinished(self) -> list[str]:
        """The tasks that have not ended."""
        page = self.client.get("/api/v2/tasks?limit=1000").json()
        tasks = page["training_tasks"] + page["inference_tasks"] + page["preprocessing_tasks"]
        return [task["task_id"] for task in tasks if task["status"] not in ENDED]
