"""Users of a service under chaos: they submit until they are told "accepted", and follow the logs of what they submitted."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from tests.service.http_client import ENDED, Http

#: How long a user goes on asking a service that is away.
PATIENCE_S = 90.0
#: A stream says something every 15 s; one that is silent for longer hangs.
SILENT_S = 20.0
#: What may be answered, or break, while a part is away: asked again, it must come right.
AWAY = (503, 429)
PAUSE_S = 0.3
#: On a machine that has other things to do, trainings get little of it.
UNDISTURBED_S = 400.0
#: More than any plan has faults.
MANY_RETRIES = 100


@dataclass(frozen=True)
class Wish:
    """What a user wants done, again and again.

    Attributes:
        kind: the name of the wish, and of the undisturbed run that it is compared with.
        path: of the submission.
        body: of the request, but for name and id.
        folder: where its files go: the task's name is a folder in it.
        fails_with: the code that it must fail with, by its own fault; "" for what must be completed.
    """

    kind: str
    path: str
    body: Mapping[str, object]
    folder: Path
    fails_with: str = ""

    @property
    def is_training(self) -> bool:
        return self.path.endswith("training/start")


@dataclass(frozen=True)
class Accepted:
    """A task that a user was told is accepted."""

    task_id: str
    wish: Wish

    @property
    def output(self) -> Path:
        return self.wish.folder / self.task_id


def wishes(http: Http, model: Path, epochs: int, *, run: str) -> list[Wish]:
    """Trainings and jobs on both kinds of device, and a job that cannot succeed; ``run`` keeps their names from those of other runs."""
    base = http.data.parent
    out, jobs = base / run / "out", base / run / "jobs"
    training = http.training_body("", num_epochs=epochs, keep_checkpoints=1, max_retries=MANY_RETRIES, save_path=str(out))
    job = {
        "cfg_path": str(model / "config.yaml"),
        "weight_path": str(model / "best_model.pth"),
        "source_path": str(http.data / "valid"),
        "save_path": str(jobs),
    }
    wrong = base / "wrong.yaml"
    text = (model / "config.yaml").read_text().replace("num_classes: 2", "num_classes: 3")
    wrong.write_text(text.replace("class_names:", "class_names:\n  green: 2"))
    train, infer = "/api/v2/training/start", "/api/v2/inference/start"
    return [
        Wish("training-cpu", train, training | {"device": "cpu", "seed": 5}, out),
        Wish("job-cpu", infer, job | {"device": "cpu"}, jobs),
        Wish("training-gpu", train, training | {"device": "cuda", "seed": 6, "shuffle": True}, out),
        Wish("job-gpu", infer, job | {"device": "cuda"}, jobs),
        Wish("job-wrong", infer, job | {"device": "cpu", "cfg_path": str(wrong)}, jobs, "weights_mismatch"),
    ]


class Users:
    """Submit as long as the block lasts, so that there is always something to do.

    Invariant: a task is in ``accepted`` if, and only if, the service answered 200 to its submission.
    """

    def __init__(self, http: Http, wanted: list[Wish], *, at_once: int) -> None:
        self._http = http
        self._next = cycle(wanted)
        self._at_once = at_once
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="users")
        self._viewers: list[Viewer] = []
        self._error: BaseException | None = None
        self._number = 0
        self._ended: set[str] = set()
        self.accepted: list[Accepted] = []
        self.longest_wait_s = 0.0
        self.refused: list[httpx.Response] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def try_once(self) -> None:
        """Submit one more, and let it be where the service refuses for now: what is kept is that it was refused."""
        wish, body = self._draw()
        with suppress(httpx.TransportError):
            answer = self._http.client.post(wish.path, json=body)
            self._note(answer, wish, str(body["task_id"]))
        self._stop.wait(PAUSE_S)

    def viewers(self) -> "list[Viewer]":
        """Those who follow the logs, once each has seen the end of its own."""
        for viewer in self._viewers:
            viewer.join()
        return self._viewers

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self.count_living() < self._at_once:
                    self._submit()
                self._stop.wait(PAUSE_S)
        except BaseException as error:  # noqa: BLE001 - it is raised where the block ends
            self._error = error

    def count_living(self) -> int:
        """How many of the accepted tasks have not ended."""
        with self._lock:
            open_ones = [each for each in self.accepted if each.task_id not in self._ended]
        self._ended |= {each.task_id for each in open_ones if self._has_ended(each)}
        return sum(each.task_id not in self._ended for each in open_ones)

    def _has_ended(self, task: Accepted) -> bool:
        return ask_patiently(lambda: self._http.client.get(f"/api/v2/tasks/{task.task_id}")).json()["status"] in ENDED

    def _submit(self) -> None:
        wish, body = self._draw()
        began = time.monotonic()
        answer = ask_patiently(lambda: self._http.client.post(wish.path, json=body))
        self.longest_wait_s = max(self.longest_wait_s, time.monotonic() - began)
        self._note(answer, wish, str(body["task_id"]))

    def _draw(self) -> tuple[Wish, dict[str, object]]:
        with self._lock:
            wish = next(self._next)
            self._number += 1
            task_id = f"{wish.folder.parent.name}-{wish.kind}-{self._number}"
        return wish, {**wish.body, "name": task_id, "task_id": task_id}

    def _note(self, answer: httpx.Response, wish: Wish, task_id: str) -> None:
        if answer.status_code != 200:
            self.refused.append(answer)
            return
        with self._lock:
            self.accepted.append(Accepted(task_id, wish))
        if wish.is_training:
            self._viewers.append(Viewer(self._http, task_id))


class Viewer:
    """Follows one log as a browser does: where the stream breaks, it comes back with the id of the last line that it saw."""

    def __init__(self, http: Http, task_id: str) -> None:
        self.task_id = task_id
        self.seen: list[int] = []
        self.returns = -1
        self.is_over = False
        self._http = http
        self._thread = threading.Thread(target=self._run, name=f"viewer of {task_id}", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait until it has seen the end, or given up."""
        self._thread.join()

    def _run(self) -> None:
        deadline = time.monotonic() + 20 * PATIENCE_S
        while not self.is_over and time.monotonic() < deadline:
            self.returns += 1
            with suppress(httpx.HTTPError):
                self._read()
            time.sleep(PAUSE_S)

    def _read(self) -> None:
        headers = {"Last-Event-ID": str(self.seen[-1])} if self.seen else {}
        path = f"/api/v2/tasks/{self.task_id}/logs"
        with self._http.client.stream("GET", path, headers=headers, timeout=SILENT_S) as answer:
            if answer.status_code != 200:
                return
            for number, record in _events(answer.iter_lines()):
                self.seen.append(number)
                self.is_over = record.get("status") in ENDED


def _events(lines: Iterator[str]) -> Iterator[tuple[int, dict]]:
    """The numbered records of a stream; what has no number is about the stream itself."""
    number = None
    for line in lines:
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: ") and number is not None:
            yield number, json.loads(line[6:])
            number = None


def ask_patiently(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until the answer is none of those that say "not now"."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = None
        with suppress(httpx.TransportError):
            answer = ask()
        if answer is not None and answer.status_code not in AWAY:
            assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
            return answer
        assert time.monotonic() < deadline, f"not for {PATIENCE_S:.0f} s: {answer.text if answer is not None else 'no answer'}"
        time.sleep(PAUSE_S)


@dataclass
class Reference:
    """What the undisturbed runs gave: the losses of trainings, the predictions of jobs, by the kind of the wish."""

    results: dict[str, str] = field(default_factory=dict)

    @classmethod
    def run(cls, http: Http, wanted: list[Wish]) -> Self:
        """Let every wish that can succeed come true once, while nothing is wrong."""
        tasks = {}
        for wish in wanted:
            if not wish.fails_with:
                name = f"{wish.folder.parent.name}-undisturbed-{wish.kind}"
                tasks[name] = wish
                http.post(wish.path, {**wish.body, "name": name, "task_id": name})
        ended = {name: http.wait(name, deadline_s=UNDISTURBED_S) for name in tasks}
        assert {task["status"] for task in ended.values()} == {"completed"}, ended
        return cls({wish.kind: result_of(Accepted(name, wish)) for name, wish in tasks.items()})


def result_of(task: Accepted) -> str:
    """What must not depend on how often a task was interrupted."""
    name = "metrics.csv" if task.wish.is_training else "predictions.csv"
    return (task.output / name).read_text()
