"""Order, limits, preemption, gangs and the comparison of the books, on a service that was really started."""

import os
import random
import signal
import time

import pytest

from actors.core.model import WorkKind
from tests.service.driving import attempt_processes
from tests.service.http_client import ENDED, Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.service

LONG = {"num_epochs": 10_000, "keep_checkpoints": 1}


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "counted"))


@pytest.fixture(autouse=True)
def books_agree(http):
    """Before and after every test, ledger, Ray and processes say the same."""
    assert http.check() == []
    yield
    for task in http.unfinished():
        http.client.post(f"/api/v2/tasks/{task}/kill")
        http.wait(task)
    for device in ("cuda:0", "cuda:1", "cpu:0"):
        http.wait_until_free(device, 15)
    assert http.check() == []


@pytest.fixture
def usual_limits(http):
    yield
    http.limit("cuda", training=1, inference=3)
    http.limit("cpu", training=2, inference=4)


@pytest.fixture(scope="module")
def model(http, service):
    """The output folder of a finished small training."""
    http.wait(http.train("counted-model")["task_id"], "completed")
    return service.data_root / "out" / "counted-model"


def wait_for(condition, deadline_s=20.0):
    """The first truthy answer of ``condition``."""
    end = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


class TestOrder:
    def test_trainings_start_by_priority_and_not_by_submission(self, http):
        running = http.train("runs", device="cuda:0", **LONG)["task_id"]
        waiting = {
            priority: http.train(f"p{priority}", device="cuda:0", priority=priority, **LONG) for priority in (9, 8, 7, 6, 5, 4)
        }
        by_id = {task["task_id"]: priority for priority, task in waiting.items()}
        order = []
        while len(order) < 6:
            http.post(f"/api/v2/tasks/{running}/kill")
            running = wait_for(lambda: next((each for each in by_id if http.task(each)["status"] == "running"), None))
            order.append(by_id.pop(running))
            assert http.client.get("/api/v2/resources").json()["device_usage"]["cuda:0"]["training"] == 1
        assert order == [4, 5, 6, 7, 8, 9]

    def test_a_new_priority_moves_a_task_in_the_line(self, http):
        http.train("runs", device="cuda:0", **LONG)
        first, second = (http.train(name, device="cuda:0", **LONG)["task_id"] for name in ("first", "second"))
        assert http.why(second)["position"] == 2
        http.post(f"/api/v2/tasks/{second}/priority", {"priority": 1})
        assert (http.why(second)["position"], http.why(first)["position"]) == (1, 2)
        assert http.task(second)["priority"] == 1
        wait_for(lambda: http.task(second)["queue_position"] == 1)

    def test_a_running_task_keeps_its_priority(self, http):
        task = http.train("runs", device="cuda:0", **LONG)["task_id"]
        http.wait(task, "running")
        answer = http.client.post(f"/api/v2/tasks/{task}/priority", json={"priority": 1})
        assert (answer.status_code, answer.json()["code"]) == (409, "task_not_waiting")

    def test_a_waiting_task_says_why_and_a_running_one_that_it_does_not(self, http):
        holder = http.train("runs", device="cuda:0", **LONG)["task_id"]
        waits = http.train("waits", device="cuda:0", **LONG)["task_id"]
        why = wait_for(lambda: (answer := http.why(waits))["held_by"] and answer)
        assert (why["missing"], why["position"], why["devices"]) == ("limit", 1, ["cuda:0"])
        assert [each["task_id"] for each in why["held_by"]] == [holder]
        assert "1 of 1 training leases on cuda:0" in why["message"]
        answer = http.why(holder)
        assert (answer["position"], answer["missing"], answer["held_by"]) == (None, None, [])

    def test_a_request_is_explained_without_being_submitted(self, http):
        before = len(http.unfinished())
        draft = http.training_body("draft", device="cuda:0")
        assert http.post("/api/v2/tasks/explain", {"task_type": "training", "request": draft})["would_start"] is True
        http.train("runs", device="cuda:0", **LONG)
        answer = http.post("/api/v2/tasks/explain", {"task_type": "training", "request": draft})
        assert (answer["would_start"], answer["missing"], answer["position"]) == (False, "limit", 1)
        assert len(http.unfinished()) == before + 1


class TestLimits:
    @pytest.mark.usefixtures("usual_limits")
    def test_a_raised_limit_starts_the_waiting_at_once_and_a_lowered_one_lets_the_running_finish(self, http, model):
        pictures = write_many(http, 400)
        ids = [http.infer(f"limited-{n}", model, device="cuda:0", source_path=str(pictures))["task_id"] for n in range(10)]
        wait_for(lambda: http.count(ids, "running") == 3)
        http.limit("cuda:0", inference=5)
        wait_for(lambda: http.count(ids, "running") == 5, deadline_s=2)
        first = [each for each in ids if http.task(each)["status"] == "running"]
        http.limit("cuda:0", inference=1)
        while len(left := [each for each in first if http.task(each)["status"] not in ENDED]) > 0:
            http.client.post(f"/api/v2/tasks/{left[0]}/kill")
            others = http.count([each for each in ids if each not in first], "running")
            assert others == 0 or all(http.task(each)["status"] in ENDED for each in first), "started before the others were gone"
        wait_for(lambda: http.count(ids, "running") == 1)

    def test_limits_and_budgets_that_cannot_be_are_refused_with_what_can(self, http):
        config = "/api/v2/resources/config"
        for body, status, words in (
            ({"max_concurrent": {"cuda:0": {"training": 65}}}, 422, "64"),
            ({"max_concurrent": {"cuda:0": {"training": -1}}}, 422, "0"),
            ({"max_concurrent": {"cuda:0": {"training": 1.5}}}, 422, "integer"),
            ({"max_concurrent": {"cuda:9": {"training": 1}}}, 422, "cuda:0"),
        ):
            answer = http.client.post(config, json=body)
            assert answer.status_code == status, answer.text
            assert words in answer.text
        for changes, status, words in (
            ({"priority": 11}, 422, "10"),
            ({"gpu_memory_gb": 25}, 409, "the most is"),
            ({"num_gpus": 3}, 409, "the most that a node has is 2"),
            ({"device": "cuda:9"}, 409, "cuda:0"),
        ):
            answer = http.client.post("/api/v2/training/start", json=http.training_body("bad", device="cuda") | changes)
            assert answer.status_code == status, answer.text
            assert words in answer.json()["message"] + str(answer.json()["detail"])


class TestPreemption:
    def test_a_training_that_gave_way_twice_has_the_losses_of_one_that_never_did(self, http, service):
        given = {"device": "cuda:1", "num_epochs": 4, "seed": 11}
        low = http.train("gave-way", preemptible=True, priority=9, **given)["task_id"]
        for epoch in (2, 3):
            http.wait_for_epoch(low, epoch)
            high = http.train("pushed", device="cuda:1", priority=1, **LONG)["task_id"]
            http.wait(high, "running")
            assert http.task(low)["status"] == "queued"
            assert http.check() == []
            http.post(f"/api/v2/tasks/{high}/kill")
        task = http.wait(low, "completed")
        assert task["attempts"] == 3
        http.wait(http.train("never-did", **given)["task_id"], "completed")
        paths = [service.data_root / "out" / name / "metrics.csv" for name in ("gave-way", "never-did")]
        assert paths[0].read_text() == paths[1].read_text()
        causes = [step["cause"] for step in http.client.get(f"/api/v2/tasks/{low}/history").json()["history"]]
        assert sum("gave way to a better-ranked task" in cause for cause in causes) == 2


class TestGangs:
    def test_two_gangs_train_one_after_the_other_on_both_devices(self, http):
        gangs = [http.train(f"gang-{number}", device="cuda", num_gpus=2)["task_id"] for number in range(2)]
        assert http.wait(gangs[0], "running")["device"] == "cuda:0,cuda:1"
        assert http.why(gangs[1])["missing"] == "limit"
        assert http.check() == []
        for gang in gangs:
            task = http.wait(gang, "completed")
            assert task["attempts"] == 1
        log = http.log(gangs[0])
        assert sum(record.get("stage") == "epoch_end" for record in log) == 1, "one log, and every line in it once"

    def test_the_death_of_one_rank_ends_and_repeats_the_whole_gang(self, http, service):
        gang = http.train("broken-gang", device="cuda", num_gpus=2, max_retries=0, **LONG)["task_id"]
        http.wait_for_epoch(gang, 1)
        ranks = attempt_processes(service)
        assert len(ranks) == 2
        os.kill(ranks[1].pid, signal.SIGKILL)
        task = http.wait(gang)
        assert (task["status"], task["error"]["code"]) == ("failed", "attempt_died")
        for device in ("cuda:0", "cuda:1"):
            http.wait_until_free(device, 10)


def write_many(http, count):
    """A folder with so many pictures that a job over them lasts until it is ended."""
    folder = http.data.parent / "many"
    if not folder.exists():
        folder.mkdir()
        source = next(http.data.rglob("*.png")).read_bytes()
        for number in range(count):
            (folder / f"{number:05d}.png").write_bytes(source)
    return folder


class TestAnyMix:
    @pytest.mark.parametrize("count", [30, pytest.param(200, marks=[pytest.mark.long, pytest.mark.timeout(3000)])])
    @pytest.mark.usefixtures("usual_limits")
    def test_at_no_moment_over_a_limit_and_afterwards_everything_is_free(self, http, model, count):
        mix = Mix(http, model, random.Random(count))
        mix.run(count)
        assert all(http.task(each)["status"] in ENDED for each in mix.ids)
        for device in ("cuda:0", "cuda:1", "cpu:0"):
            http.wait_until_free(device, 15)
        assert http.check() == []


class Mix:
    """Submits tasks of all kinds and cancels, kills and changes limits at random, and looks at the devices all the while."""

    def __init__(self, http, model, rng):
        self.http, self.model, self.rng = http, model, rng
        self.ids = []
        #: The highest limit of each (device, work) since the last time that it was seen to be kept to.
        self.allowed = {}

    def run(self, count):
        steps = 0
        while len(self.ids) < count or self.living():
            steps += 1
            if len(self.ids) < count and len(self.living()) < 18:
                self.submit()
            elif self.rng.random() < 0.85:
                self.disturb(self.living())
            self.look()
            if steps % 10 == 0:
                assert self.http.check() == []

    def submit(self):
        device = self.rng.choice(["cpu", "cuda", "cuda:0", "cuda:1"])
        name = f"mix-{len(self.ids)}"
        given = {"device": device, "priority": self.rng.randint(1, 10)}
        if self.rng.random() < 0.5:
            task = self.http.infer(name, self.model, **given)
        else:
            given |= {"num_epochs": self.rng.choice([1, 2, 10_000]), "keep_checkpoints": 1, "preemptible": self.rng.random() < 0.5}
            gang = {"num_gpus": 2, "device": "cuda"} if self.rng.random() < 0.15 else {}
            task = self.http.train(name, **(given | gang))
        self.ids.append(task["task_id"])

    def living(self):
        """Those that have not ended, in the order of their submission."""
        unfinished = set(self.http.unfinished())
        return [each for each in self.ids if each in unfinished]

    def disturb(self, living):
        what = self.rng.random()
        if living and what < 0.7:
            self.http.client.post(f"/api/v2/tasks/{self.rng.choice(living)}/{self.rng.choice(['cancel', 'kill'])}")
        elif what < 0.85:
            device, work = self.rng.choice(["cuda:0", "cuda:1", "cpu"]), self.rng.choice(["training", "inference"])
            self.http.limit(device, **{work: self.rng.randint(1, 4)})
        elif living:
            self.http.client.post(f"/api/v2/tasks/{self.rng.choice(living)}/priority", json={"priority": self.rng.randint(1, 10)})

    def look(self):
        """No device holds more than a limit allows, but for those that were granted before it was lowered."""
        view = self.http.client.get("/api/v2/resources").json()
        for device in ("cuda:0", "cuda:1", "cpu"):
            for work in (WorkKind.TRAINING.value, WorkKind.INFERENCE.value):
                used, limit = view["device_usage"][device][work], view["limits"][device][work]
                allowed = max(limit, self.allowed.get((device, work), 0))
                assert used <= allowed, f"{used} {work} leases on {device}, {allowed} allowed"
                self.allowed[device, work] = max(limit, min(used, allowed))
        for each in view["devices"]:
            assert each["held"] <= each["share"] + 1e-9
