"""The whole service once, on generated signals: start it, train, predict, show what came out.

Talks to the service as any client would: over HTTP, with its own folder as the data root. Run with ``python -m cluster.demo``.
"""

import argparse
import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from cluster.demo_data import DemoDataset, write_demo_dataset
from cluster.ports import can_listen, find_free_port
from cluster.signals import StopRequested, stop_as_exception

_HOST: Final = "127.0.0.1"
_USUAL_PORT: Final = 8000
_COMMAND: Final = (sys.executable, "-m", "cluster.cli")
_TRAINING: Final[Mapping[str, Any]] = {
    "model": "resnet18",
    "batch_size": 8,
    "num_epochs": 6,
    "learning_rate": 5e-4,
    "image_size": 64,
    "device": "cpu",
    "pretrained": False,
    "seed": 0,
    "keep_checkpoints": 1,
    "description": "make demo",
}


class DemoError(Exception):
    """A step of the demo did not work; the text says which and why."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """How the pictures of one class were judged. ``confidence`` is the mean of the answers, in percent."""

    name: str
    pictures: int
    right: int
    confidence: float


def main() -> int:
    """Run the demo; the exit code is 0 only if every step worked."""
    parser = argparse.ArgumentParser(prog="python -m cluster.demo", description="Train and predict once on generated signals.")
    parser.add_argument("--once", action="store_true", help="end after the table instead of staying up")
    once = parser.parse_args().once
    console = Console(highlight=False)
    with stop_as_exception():
        try:
            run_demo(Path.cwd() / "var" / "demo", console, once=once)
        except StopRequested:
            console.print("stopped")
            return 1
        except (DemoError, httpx.HTTPError, OSError) as error:
            print(f"demo: {error or type(error).__name__}", file=sys.stderr)
            return 1
    return 0


def run_demo(root: Path, console: Console, *, once: bool) -> None:
    """Start a service in ``root``, train, predict, show, and end it.

    Raises:
        DemoError: a step failed.
        httpx.HTTPError: the service did not answer.
        StopRequested: stopped before the table.
    """
    port = _USUAL_PORT if can_listen(_HOST, _USUAL_PORT) else find_free_port(_HOST)
    with (
        _running_service(root, port, console) as dataset,
        _client(port) as client,
    ):
        run = f"runs/{datetime.now(UTC):%Y%m%d-%H%M%S}"
        train(client, dataset, f"{run}/model", console)
        results = predict(client, root, run, console)
        console.print(as_table(results))
        _say_how_to_go_on(console, root / run, port)
        if not once:
            console.print("The service stays up; Ctrl-C ends it.")
            _wait_for_stop()


def train(client: httpx.Client, dataset: DemoDataset, save_path: str, console: Console) -> None:
    """Train a small network and print each epoch. Raises DemoError."""
    folders = {"train_path": "data/train", "val_path": "data/valid", "save_path": save_path}
    body = {**_TRAINING, **folders, "num_classes": len(dataset.class_names)}
    task_id = submit(client, "/api/v2/training/start", body)
    console.print(f"training {_TRAINING['model']} on {dataset.train_pictures} pictures, task {task_id}")
    for record in follow(client, task_id):
        metrics = record.get("metrics") or {}
        if record.get("stage") == "epoch_end" and metrics:
            figures = f"loss {metrics['train_loss']:.3f}  val_acc {metrics['val_acc']:5.1f} %  macro F1 {metrics['macro_f1']:.3f}"
            console.print(f"  epoch {metrics['epoch']:.0f}/{metrics['total_epochs']:.0f}  {figures}")


def predict(client: httpx.Client, root: Path, run: str, console: Console) -> list[ClassResult]:
    """Classify the validation pictures with the trained weights. Raises DemoError."""
    model, output = f"{run}/model", f"{run}/predictions"
    body = {"cfg_path": f"{model}/config.yaml", "weight_path": f"{model}/best_model.pth", "source_path": "data/valid"}
    task_id = submit(client, "/api/v2/inference/start", body | {"save_path": output, "device": "cpu"})
    console.print(f"predicting, task {task_id}")
    for _record in follow(client, task_id):
        pass
    return sum_up(json.loads((root / output / "predictions.json").read_text(encoding="utf-8")))


def submit(client: httpx.Client, path: str, body: Mapping[str, Any]) -> str:
    """Submit a task and return its id. Raises DemoError with the service's reason."""
    answer = client.post(path, json=dict(body))
    if answer.status_code != httpx.codes.OK:
        raise DemoError(f"POST {path} was refused: {answer.text}")
    return str(answer.json()["task_id"])


def follow(client: httpx.Client, task_id: str) -> Iterator[dict[str, Any]]:
    """Yield the records of a task's log as they come, until the task has ended.

    Raises:
        DemoError: the task did not complete.
    """
    last: dict[str, Any] = {}
    # The stream has a sign of life every 15 s.
    with client.stream("GET", f"/api/v2/tasks/{task_id}/logs", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("data:"):
                last = json.loads(line.removeprefix("data:"))
                yield last
    if last.get("status") != "completed":
        raise DemoError(f"task {task_id} ended as {last.get('status', 'unknown')}: {last.get('message', 'no reason given')}")


def sum_up(predictions: list[dict[str, Any]]) -> list[ClassResult]:
    """Count the answers per class; the true class of a picture is the folder it lies in."""
    by_class: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for each in predictions:
        by_class[Path(each["file"]).parent.name].append(each)
    return [
        ClassResult(
            name=name,
            pictures=len(answers),
            right=sum(each["class"] == name for each in answers),
            confidence=sum(each["confidence"] or 0.0 for each in answers) / len(answers),
        )
        for name, answers in sorted(by_class.items())
    ]


def as_table(results: list[ClassResult]) -> Table:
    """The results for people, with a line for all classes together."""
    table = Table("class", title="What the trained network says about pictures it has not seen", show_footer=True)
    pictures, right = sum(each.pictures for each in results), sum(each.right for each in results)
    table.columns[0].footer = "all"
    table.add_column("pictures", footer=str(pictures), justify="right")
    table.add_column("right", footer=str(right), justify="right")
    table.add_column("accuracy", footer=_percent(right, pictures), justify="right")
    mean = sum(each.confidence * each.pictures for each in results) / max(pictures, 1)
    table.add_column("mean confidence", footer=f"{mean:.1f} %", justify="right")
    for each in results:
        accuracy = _percent(each.right, each.pictures)
        table.add_row(each.name, str(each.pictures), str(each.right), accuracy, f"{each.confidence:.1f} %")
    return table


def _client(port: int) -> httpx.Client:
    # A busy small machine may take its time; that is no reason to give up.
    return httpx.Client(base_url=f"http://{_HOST}:{port}", trust_env=False, timeout=60)


@contextmanager
def _running_service(root: Path, port: int, console: Console) -> Iterator[DemoDataset]:
    """A service on the demo's folder, and the demo's pictures, made while it starts."""
    root.mkdir(parents=True, exist_ok=True)
    state = ("--state-dir", str(root / "state"))
    command = [*_COMMAND, "up", "--detach", "--port", str(port), *state, "--data-root", str(root)]
    with subprocess.Popen(command) as starting:
        dataset = write_demo_dataset(root / "data", per_class_train=40, per_class_valid=15, size=128)
        if starting.wait() != 0:
            raise DemoError("the service did not start; see above")
    try:
        yield dataset
    finally:
        console.print("ending the service")
        subprocess.run([*_COMMAND, "down", *state], check=False)


def _say_how_to_go_on(console: Console, run: Path, port: int) -> None:
    console.print(f"\nmodel, metrics and log:  {run / 'model'}")
    console.print(f"predictions:             {run / 'predictions'}")
    console.print("\nWhile it is up, try:")
    for path in ("api/v1/health", "api/v2/tasks", "api/v2/resources"):
        console.print(f"  curl http://{_HOST}:{port}/{path}", soft_wrap=True)
    console.print(f"  or open http://{_HOST}:{port}/docs\n", soft_wrap=True)


def _wait_for_stop() -> None:
    try:
        threading.Event().wait()
    except StopRequested:
        return  # That is how a demo that stays up ends.


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


if __name__ == "__main__":
    sys.exit(main())
