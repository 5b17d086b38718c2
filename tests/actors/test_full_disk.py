"""A disk that is full under the store and the logs of a running service, and actors that die meanwhile, on a real Ray."""

import json
import os
import signal
import sqlite3
from contextlib import closing

import pytest
import ray

from actors.core.errors import StoreUnavailableError
from actors.core.tasks import EndMode, TaskState
from actors.names import ACCOUNTANT, LOG_HUB, NAMESPACE, SUPERVISOR
from actors.presence import find
from actors.store import Store
from actors.system import start_actors, stop_actors
from configs.settings import Settings
from serve_app.schemas.training import TrainingRequest
from serve_app.submissions import training_submission
from tests.actors.waiting import wait_for
from tests.service.pictures import write_coloured
from tests.small_disk import fill_up, small_disk


class Service:
    """The three actors with their state on a disk of a few megabytes, and pictures elsewhere."""

    def __init__(self, root, disk):
        self.disk = disk
        write_coloured(root / "pictures", train=4, valid=2)
        self.settings = Settings(state_dir=disk / "state", data_roots=(root,), lease_ttl_s=8, heartbeat_s=0.5, torch_threads=1)
        start_actors(self.settings)

    def ask(self, part, method, *args, timeout_s=60):
        return ray.get(getattr(ray.get_actor(part, namespace=NAMESPACE), method).remote(*args), timeout=timeout_s)

    def submit(self, name, **changes):
        request = TrainingRequest(
            model="mobilenet_v2",
            num_classes=2,
            train_path="pictures/train",
            val_path="pictures/valid",
            save_path=f"out/{name}",
            task_id=name,
            device="cpu",
            pretrained=False,
            image_size=32,
            num_epochs=10_000,
            keep_checkpoints=1,
            **changes,
        )
        return self.ask(SUPERVISOR, "submit", training_submission(request, self.settings))

    def state(self, task_id):
        return self.ask(SUPERVISOR, "get", task_id).state

    def stored(self):
        with closing(Store(self.settings.database_url)) as store:
            return {task.task_id: task.state for task in store.read_tasks()}

    def kill(self, part):
        """End a part's process and wait until another one answers."""
        before = find(self.settings.state_dir, part)
        pid = before.pid if before else None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.answers(part, pid), what=f"another {part}")

    def answers(self, part, former_pid):
        try:
            self.ask(part, "ping", timeout_s=5)
        except (ray.exceptions.RayError, TimeoutError):
            return False
        found = find(self.settings.state_dir, part)
        return found is not None and found.pid != former_pid

    def lines(self, task_id):
        return self.ask(LOG_HUB, "read", task_id, 0, 100_000)


@pytest.fixture
def service(cluster, tmp_path):
    with small_disk(tmp_path / "disk", megabytes=6) as disk:
        yield Service(tmp_path, disk)
        stop_actors()


def refuse_until_full(service):
    """Submit until nothing is accepted any more; returns what was, and the error."""
    accepted = []
    for number in range(90):
        try:
            accepted.append(service.submit(f"waiting{number}").task_id)
        except StoreUnavailableError as error:
            return accepted, error
    raise AssertionError("the disk never got full")


def test_a_full_disk_stops_acceptance_and_nothing_that_was_accepted_is_lost(service):
    service.submit("running")
    wait_for(lambda: service.state("running") is TaskState.RUNNING, what="the training")
    wait_for(lambda: service.ask(SUPERVISOR, "get", "running").progress.epoch, what="its first epoch")
    ballast = fill_up(service.disk)
    accepted, error = refuse_until_full(service)
    assert "free some space" in str(error)
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        service.ask(SUPERVISOR, "store_ping")
    wait_for(lambda: service.ask(LOG_HUB, "trouble"), what="a log hub that says that it cannot write")

    for part in (LOG_HUB, SUPERVISOR, ACCOUNTANT):
        service.kill(part)
    attempt_id = service.ask(SUPERVISOR, "get", "running").attempt_id
    epoch = service.ask(SUPERVISOR, "get", "running").progress.epoch or 0
    wait_for(lambda: (service.ask(SUPERVISOR, "get", "running").progress.epoch or 0) > epoch, what="the training goes on")
    service.ask(SUPERVISOR, "end", "running", EndMode.STOP)
    wait_for(lambda: service.state("running") is TaskState.CANCELLED, deadline_s=90, what="its end")
    assert service.stored()["running"] is TaskState.RUNNING, "there is no room for its end yet"
    assert service.ask(SUPERVISOR, "get", "running").attempt_id == attempt_id, "it went on in the same attempt"

    ballast.unlink()
    wait_for(lambda: service.stored()["running"] is TaskState.CANCELLED, what="its end in the store")
    for task_id in accepted:
        service.ask(SUPERVISOR, "end", task_id, EndMode.KILL)
    wait_for(lambda: set(service.stored().values()) == {TaskState.CANCELLED}, what="all ends")
    assert set(service.stored()) == {"running", *accepted}
    wait_for(lambda: service.lines("running").is_complete, what="the whole log")
    check_log(service, attempt_id)
    assert (service.ask(LOG_HUB, "trouble"), service.ask(SUPERVISOR, "store_ping") > 0) == ("", True)
    with closing(sqlite3.connect(service.disk / "state/store.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    wait_for(lambda: not leases(service), what="every lease back")


def leases(service):
    return [lease for device in service.ask(ACCOUNTANT, "view").devices for lease in device.leases]


def check_log(service, attempt_id):
    """Every line once, numbered without gap, and none of the attempt's own missing: it numbers its lines, too."""
    lines = service.lines("running").lines
    assert [line.seq for line in lines] == list(range(1, len(lines) + 1))
    (path,) = (each for each in (service.disk / "state/logs/tasks").iterdir() if f'"{attempt_id}"' in each.read_text())
    records = [json.loads(line) for line in path.read_text().splitlines()]
    indexes = [record["index"] for record in records if record["source"] == attempt_id]
    assert indexes == list(range(1, len(indexes) + 1))
    assert len(indexes) > 3


def test_an_actor_that_cannot_come_back_for_a_while_comes_back_then(service, tmp_path):
    """Ray gives an actor up whose constructor fails once; the service must not."""
    store = service.disk / "state/store.sqlite"
    before = find(service.settings.state_dir, SUPERVISOR)
    hidden = [path.rename(path.with_name(f"hidden-{path.name}")) for path in (*store.parent.glob("store.sqlite*"),)]
    store.mkdir()
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: (found := find(service.settings.state_dir, SUPERVISOR)) and found.pid != before.pid, what="a try")
    first_try = find(service.settings.state_dir, SUPERVISOR)
    wait_for(lambda: find(service.settings.state_dir, SUPERVISOR) != first_try, what="another try")
    store.rmdir()
    for path in hidden:
        path.rename(path.with_name(path.name.removeprefix("hidden-")))
    wait_for(lambda: service.answers(SUPERVISOR, before.pid), what="the supervisor")
    assert service.settings == service.ask(SUPERVISOR, "settings")
