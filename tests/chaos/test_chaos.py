"""A service on two nodes with trainings, jobs and online load, on which faults strike: nothing that was accepted is lost."""

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from cluster.haproxy import HaproxyMissingError, require_haproxy
from cluster.processes import find_processes, instance_mark
from tests.chaos.fault_plan import draw_faults
from tests.chaos.strikes import Striker
from tests.chaos.verdict import (
    judge_log,
    judge_output,
    judge_predictions,
    judge_task,
    judge_viewer,
    read_log,
    split_by_trouble,
)
from tests.chaos.workload import AWAY, Accepted, Reference, Users, Wish, ask_patiently, wishes
from tests.service.driving import what_is_left
from tests.service.http_client import Http
from tests.service.pictures import write_coloured
from tests.service.prediction_load import Load
from tests.service.two_nodes import TwoNodes, bring_down, bring_up, prepare, register_model, wait_until
from tests.small_disk import small_disk

pytestmark = pytest.mark.service

#: Repeat a run that found something with the seed that it printed.
SEED = int(os.environ.get("CHAOS_SEED", "8"))
SETTINGS = {
    "RFUAV_SERVING_MIN_REPLICAS": "3",
    "RFUAV_SERVING_DOWN_DELAY_S": "600",
    "RFUAV_TORCH_THREADS": "1",
    "RFUAV_CHECKPOINT_EVERY_S": "1",
    "MAX_TRAINING_CONCURRENT_CPU": "1",
}
STORE_MB = 24
#: The last tasks are given so long when nothing strikes any more.
DRAIN_S = 400.0
FREE_S = 90.0


@pytest.fixture(scope="module", autouse=True)
def _haproxy() -> None:
    try:
        require_haproxy()
    except HaproxyMissingError as error:
        if os.environ.get("REQUIRE_HAPROXY") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A small disk for the store; None where this user may not mount one."""
    with ExitStack() as mounted:
        try:
            made = mounted.enter_context(small_disk(tmp_path_factory.mktemp("disk") / "small", megabytes=STORE_MB))
        except pytest.skip.Exception:
            made = None
        yield made


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, disk: Path | None) -> Iterator[TwoNodes]:
    """Both nodes; when they are down, nothing of them is left, whatever has struck them."""
    settings = SETTINGS | ({"RFUAV_STORE_URL": f"sqlite:///{disk}/store.sqlite"} if disk else {})
    two = prepare(tmp_path_factory.mktemp("chaos"), settings)
    try:
        bring_up(two, settings)
        yield two
        known = find_processes(instance_mark(two.head)) + find_processes(instance_mark(two.other))
    finally:
        ended = bring_down(two)
        if disk:
            keep_store(disk / "store.sqlite", two.folder / "store.sqlite")
    assert [each.returncode for each in ended] == [0, 0], ended
    assert what_is_left(two.head, two.port, known) + what_is_left(two.other, two.port, known) == []


@pytest.fixture(scope="module")
def http(two: TwoNodes) -> Http:
    http = Http(two.url, write_coloured(two.folder / "data" / "pictures", train=60, valid=10), two.key)
    http.client.timeout = 30
    register_model(two, http)
    return http


@pytest.fixture(scope="module")
def model(http: Http) -> Path:
    """The output folder of a finished small training."""
    assert http.wait(http.train("model")["task_id"])["status"] == "completed"
    return http.data.parent / "out" / "model"


@pytest.mark.parametrize(
    ("count", "epochs"),
    [
        pytest.param(8, 12, marks=pytest.mark.timeout(900)),
        pytest.param(60, 16, marks=[pytest.mark.long, pytest.mark.chaos, pytest.mark.timeout(3000)]),
    ],
)
def test_nothing_that_was_accepted_is_lost(two: TwoNodes, http: Http, model: Path, disk: Path | None, count: int, epochs: int):
    wanted = wishes(http, model, epochs, run=f"{count}-faults")
    run = Chaos(two, http, disk, wanted)
    run.compare_with(Reference.run(http, wanted))
    run.strike(count)
    wrong = run.judge()
    print(run.describe())
    assert wrong == [], "\n".join(wrong)


def keep_store(store: Path, target: Path) -> None:
    """Copy a store to where it outlives its disk, and where the histories in all stores are looked at after the tests."""
    with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


class Chaos:
    """One run: users and callers at work, faults meanwhile, and the judgement when all has come to its end."""

    def __init__(self, two: TwoNodes, http: Http, disk: Path | None, wanted: list[Wish]) -> None:
        self._two = two
        self._http = http
        self._disk = disk
        picture = (http.data / "valid" / "red" / "0.png").read_bytes()
        self._users = Users(http, wanted, at_once=4)
        self._load = Load(two.url, "known", picture, callers=2, key=two.key, pause_s=0.1)
        self._striker = Striker(two, disk, self._users.try_once)

    def compare_with(self, reference: Reference) -> None:
        """Say what the undisturbed runs gave."""
        self._reference = reference

    def strike(self, count: int) -> None:
        """Let the faults strike, and wait until nothing is left to do."""
        faults = draw_faults(SEED, count, with_disk=self._disk is not None)
        print(f"CHAOS_SEED={SEED}", *faults, sep="\n")
        with self._load:
            with self._users:
                for fault in faults:
                    time.sleep(fault.pause_s)
                    self._striker.strike(fault)
            self._striker.settle()
            wait_until(lambda: not self._users.count_living(), DRAIN_S)
        wait_until(lambda: not any(each["held"] for each in self._devices()), FREE_S)

    def judge(self) -> list[str]:
        """Everything that is wrong, in plain words."""
        wrong = [line for task in self._users.accepted for line in self._judge_one(task)]
        for viewer in self._users.viewers():
            wrong += judge_viewer(viewer, len(read_log(self._two.head, viewer.task_id)))
        wrong += judge_predictions(self._load.outcomes, self._striker.struck)
        wrong += [f"{each.status_code}: {each.text}" for each in self._users.refused if each.status_code not in AWAY]
        wrong += [f"the books differ: {each}" for each in self._http.check()]
        wrong += [f"still in the store: {each}" for each in self._stored_leases()]
        return wrong

    def describe(self) -> str:
        """The figures of the run."""
        outcomes = self._load.outcomes
        calm, troubled = split_by_trouble(outcomes, self._striker.struck)
        failed = sum(each.status != 200 for each in calm)
        ends = Counter(self._http.task(each.task_id)["status"] for each in self._users.accepted)
        attempts = sum(self._http.task(each.task_id)["attempts"] for each in self._users.accepted)
        returns = sum(viewer.returns for viewer in self._users.viewers())
        return "\n".join(
            [
                f"seed {SEED}; {len(self._striker.struck)} faults; "
                + ("the store's disk was filled" if self._disk else "no small disk here, so none was filled"),
                f"tasks {dict(ends)} in {attempts} attempts; refused for now {len(self._users.refused)} times; "
                f"longest way to acceptance {self._users.longest_wait_s:.1f} s; viewers came back {returns} times",
                f"predictions {len(outcomes)}: calm {len(calm)}, failed {failed} ({failed / max(1, len(calm)):.2%}); "
                f"after faults {len(troubled)}: {dict(Counter(each.status for each in troubled))}; "
                f"longest wait {max(each.seconds for each in outcomes):.1f} s",
                f"joins took {self._striker.join_tries} tries",
            ]
        )

    def _judge_one(self, accepted: Accepted) -> list[str]:
        task = self._http.task(accepted.task_id)
        history = self._http.client.get(f"/api/v2/tasks/{accepted.task_id}/history").json()["history"]
        task = task | {"history": history}
        lines = read_log(self._two.head, accepted.task_id)
        streamed = self._http.log(accepted.task_id)
        differs = [] if len(streamed) == len(lines) else [f"{accepted.task_id} streams {len(streamed)} of {len(lines)} lines"]
        return judge_task(task, accepted) + judge_output(accepted, self._reference) + judge_log(task, lines) + differs

    def _devices(self) -> list[dict]:
        return ask_patiently(lambda: self._http.client.get("/api/v2/resources")).json()["devices"]

    def _stored_leases(self) -> list[tuple]:
        path = (self._disk or self._two.head) / "store.sqlite"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            return store.execute("SELECT lease_id, record FROM leases").fetchall()
