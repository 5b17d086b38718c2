"""How soon the service answers again when a part of it is killed, with 10,000 tasks in its store, and what a durable acceptance costs.

Starts a service of its own, kills its accountant and its supervisor with SIGKILL again and again, and prints one table. Measured over
HTTP on loopback, as users see it: from the kill to the first answer of a resource view, and of a task. Once with 100 tasks in line behind
9,900 that have ended, once with 10,000 in line; nothing can start meanwhile, since the limits of all devices are 0.
"""

import argparse
import http.client
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.core import task_events as te
from actors.core.model import Lease, Portion, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import Progress, Submission
from actors.presence import find
from actors.store import Store
from cluster.ports import find_free_port
from tests.service.driving import clean_environment, run_cli
from tests.service.pictures import write_coloured

STORED = 10_000
KILLS = 5
ACCEPTED = 200
DEADLINE_S = 60.0
METRICS = dict.fromkeys(
    ("train_loss", "val_loss", "val_acc", "macro_f1", "micro_f1", "mAP", "top1_acc", "top3_acc", "best_acc"), 97.5
)


@dataclass(frozen=True)
class Running:
    """A service with tasks in its store."""

    state: Path
    port: int
    in_line: int

    def get(self, path: str) -> Any:
        """The body of an answer; None where the service says no, or nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_S)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
        except OSError:
            return None
        finally:
            connection.close()
        return json.loads(body) if answer.status == 200 else None

    def line_length(self) -> int:
        """How many tasks the accountant knows to wait; -1 while it does not answer."""
        view = self.get("/api/v2/resources")
        return -1 if view is None else int(view["queue"]["length"])


def fill_store(state: Path, in_line: int) -> None:
    """Write 10,000 tasks as a service would have: completed trainings, and behind them those that wait."""
    flow, begin = TaskFlow(), time.time() - STORED
    for number in range(STORED):
        request = {"model": "resnet18", "num_epochs": 100, "name": f"run {number}", "description": "a training of the lab"}
        submission = Submission(f"task-{number:05d}", WorkKind.TRAINING, "training", request, "cpu", 5)
        flow.handle(te.TaskSubmitted(submission), now=begin + number)
        (complete if number < STORED - in_line else wait_in_line)(flow, submission.task_id, begin + number)
    store = Store(f"sqlite:///{state / 'store.sqlite'}")
    store.write_tasks(flow.tasks.values())
    store.write_limits({"cpu:0": dict.fromkeys(WorkKind, 0)})
    store.close()


def complete(flow: TaskFlow, task_id: str, at: float) -> None:
    lease = Lease(f"lease of {task_id}", 1, flow.lease_request(flow.get(task_id)), (Portion("cpu:0", 1200, 0),), at)
    flow.handle(te.LeaseGranted(lease), now=at + 0.1)
    progress = Progress(100, "trained 100 epochs", 100, 100, METRICS)
    flow.handle(te.AttemptEnded(f"{task_id}.1", "completed", "trained 100 epochs", progress=progress), now=at + 0.5)


def wait_in_line(flow: TaskFlow, task_id: str, at: float) -> None:
    flow.handle(te.LeaseQueued(f"{task_id}.1", "limit"), now=at)


def wait_until(is_so: Callable[[], bool]) -> float:
    """Ask until it is so; returns the seconds that it took."""
    begin = time.perf_counter()
    while not is_so():
        if time.perf_counter() - begin > DEADLINE_S:
            raise TimeoutError(f"not in {DEADLINE_S:.0f} s")
        time.sleep(0.01)
    return time.perf_counter() - begin


def kill(service: Running, part: str) -> None:
    """End a part, and wait until its process is gone."""
    presence = find(service.state, part)
    assert presence is not None, f"no {part} has announced itself"
    os.kill(presence.pid, signal.SIGKILL)
    wait_until(lambda: presence.process() is None)


def recover_accountant(service: Running) -> tuple[float, float]:
    """Seconds from the kill to the first answer, and until the whole line is known again."""
    begin = time.perf_counter()
    kill(service, "accountant")
    wait_until(lambda: service.line_length() >= 0)
    answered = time.perf_counter() - begin
    wait_until(lambda: service.line_length() == service.in_line)
    return answered, time.perf_counter() - begin


def recover_supervisor(service: Running) -> tuple[float, float]:
    """Seconds from the kill to the first answer about one task, and to the first list."""
    begin = time.perf_counter()
    kill(service, "supervisor")
    wait_until(lambda: service.get(f"/api/v2/tasks/task-{STORED - 1:05d}") is not None)
    answered = time.perf_counter() - begin
    wait_until(lambda: service.get("/api/v2/tasks?limit=100") is not None)
    return answered, time.perf_counter() - begin


def accept(service: Running, data: Path, count: int, every_s: float = 0.0) -> list[float]:
    """Milliseconds of submissions; each is durable when it is answered.

    What follows an answer (its line of the log, its lease request, the audit's entry) is done while the next one is asked for. With a
    pause between them each finds a service that has nothing else to do.
    """
    body = {"model": "resnet18", "num_classes": 2, "train_path": str(data / "train"), "val_path": str(data / "valid")}
    body |= {"save_path": str(data.parent / "out"), "num_epochs": 1, "image_size": 64, "pretrained": False, "device": "cpu"}
    bodies = (json.dumps(body | {"name": f"accepted-{number}"}) for number in range(count))
    return ask(service, [("POST", "/api/v2/training/start", text) for text in bodies], every_s)


def look(service: Running, count: int, every_s: float = 0.0) -> list[float]:
    """Milliseconds of views of one task: the same way as an acceptance, with nothing to check or write at its end."""
    return ask(service, [("GET", "/api/v2/tasks/task-00000", None)] * count, every_s)


def ask(service: Running, requests: Sequence[tuple[str, str, str | None]], every_s: float) -> list[float]:
    """Milliseconds of requests (method, path, body) over one connection, with a pause before each."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=DEADLINE_S)
    times = []
    for method, path, text in requests:
        time.sleep(every_s)
        begin = time.perf_counter()
        connection.request(method, path, text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        times.append((time.perf_counter() - begin) * 1000)
        assert answer.status == 200
    connection.close()
    return times


def tell(what: str, values: Sequence[float], unit: str) -> None:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(
        f"{what:<64} median {statistics.median(ordered):8.2f} {unit}   p99 {p99:8.2f} {unit}   worst {ordered[-1]:8.2f} {unit}",
        flush=True,
    )


def measure(service: Running, data: Path, kills: int) -> None:
    line = f"{service.in_line:,} of {STORED:,} in line"
    wait_until(lambda: service.line_length() == service.in_line)
    for pace, every_s in (("one after the other", 0.0), ("one each tenth of a second", 0.1)):
        tell(f"a task's view, {pace}: the same way without acceptance", look(service, ACCEPTED // 2, every_s)[5:], "ms")
        tell(f"acceptance, {pace}, {line}", accept(service, data, ACCEPTED // 2, every_s)[5:], "ms")
    for task in service.get(f"/api/v2/tasks?limit={ACCEPTED}")["training_tasks"]:
        delete(service, task["task_id"])
    accountant = [recover_accountant(service) for _ in range(kills)]
    tell(f"accountant killed to the first resource view, {line}", [first for first, _ in accountant], "s")
    tell("accountant killed to the whole line known again", [whole for _, whole in accountant], "s")
    supervisor = [recover_supervisor(service) for _ in range(kills)]
    tell(f"supervisor killed to the first answer about a task, {line}", [first for first, _ in supervisor], "s")
    tell("supervisor killed to the first list of tasks", [whole for _, whole in supervisor], "s")


def delete(service: Running, task_id: str) -> None:
    """Take an accepted task out of the line again."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=DEADLINE_S)
    connection.request("POST", f"/api/v2/tasks/{task_id}/cancel")
    assert connection.getresponse().status == 200
    connection.close()


def run(folder: Path, in_line: int, kills: int) -> None:
    state, port = folder / "state", find_free_port()
    state.mkdir(parents=True)
    fill_store(state, in_line)
    data = write_coloured(folder / "data" / "set", train=64, valid=8, size=64)
    environ = clean_environment() | {"TASK_QUEUE_SIZE": str(2 * STORED)}
    begin = time.perf_counter()
    up = run_cli("up", "--detach", "--port", port, "--state-dir", state, "--data-root", folder, cwd=folder, environ=environ)
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        print(f"rfuav up to READY, {in_line:,} of {STORED:,} in line: {time.perf_counter() - begin:.1f} s", flush=True)
        measure(Running(state, port, in_line), data, kills)
    finally:
        run_cli("down", "--state-dir", state, cwd=folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=KILLS, help="of each part, in each of the two stores")
    parser.add_argument("--in-line", type=int, nargs="*", default=[100, STORED], help="how many of the tasks wait")
    asked = parser.parse_args()
    for in_line in asked.in_line:
        with tempfile.TemporaryDirectory(prefix="rfuav-bench-") as folder:
            run(Path(folder).resolve(), in_line, asked.kills)


if __name__ == "__main__":
    main()
