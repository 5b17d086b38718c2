"""Rounds of the housekeeper over real logs and real files."""

import asyncio

import pytest

from actors import housekeeping
from actors.core import task_events as te
from actors.core.task_flow import TaskFlow
from actors.files.data_roots import DataRoots
from actors.housekeeping import Hands, Housekeeper
from actors.log_hub import LogHub
from actors.messages import LogDraft
from actors.retention import Bounds
from tests.unit.core.test_task_flow import lease_for, make_submission

NO_BOUNDS = {"tasks": 0, "tasks_age_s": 0, "logs_bytes": 0, "logs_age_s": 0, "checkpoints_bytes": 0, "checkpoints_age_s": 0}
LINE = "x" * 1000


class Clock:
    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at


class House:
    """A flow, a log hub and a folder of outputs, and a housekeeper over them."""

    def __init__(self, root):
        self.root = root
        self.flow = TaskFlow()
        self.hub = LogHub(root / "state")
        self.clock = Clock(10_000.0)
        self.before_forgetting = lambda: None

    def end_task(self, task_id, at, *, lines=20):
        """A training that ended at an instant, with a log, weights and checkpoints."""
        output = self.root / "out" / task_id
        output.mkdir(parents=True)
        for name in ("last.ckpt", "previous.ckpt", "checkpoints.json", "best.safetensors", "epoch_1.safetensors"):
            (output / name).write_bytes(bytes(1000))
        self.flow.handle(te.TaskSubmitted(make_submission(task_id, resolved={"output": str(output)})), now=1.0)
        self.flow.handle(te.LeaseGranted(lease_for(self.flow, task_id)), now=2.0)
        self.flow.handle(te.AttemptEnded(f"{task_id}.1", "completed", "done"), now=at)
        asyncio.run(self.hub.append(task_id, "a", [LogDraft(number, 1.0, "INFO", LINE) for number in range(1, lines + 1)]))
        asyncio.run(self.hub.append(task_id, "s", [LogDraft(1, 1.0, "INFO", "done", status="completed", is_last=True)]))

    def tidy(self, **bounds):
        async def ask_hub(method, *args):
            return await getattr(self.hub, method)(*args)

        def forget(task_id):
            self.before_forgetting()
            self.flow.handle(te.TaskDeleted(task_id), now=self.clock.now())

        roots = DataRoots.of([self.root / "out"])
        keeper = Housekeeper(Bounds(**NO_BOUNDS | bounds), self.flow, hands=Hands(forget, ask_hub), roots=roots, clock=self.clock)
        asyncio.run(keeper.tidy())
        return keeper.removed

    def log(self, task_id):
        return asyncio.run(self.hub.read(task_id))

    def files(self, task_id):
        return {path.name for path in (self.root / "out" / task_id).iterdir()}


@pytest.fixture
def house(tmp_path):
    house = House(tmp_path)
    for number in range(4):
        house.end_task(f"t{number}", at=1000.0 + number)
    return house


def test_without_limits_everything_stays(house):
    assert house.tidy() == {"tasks": 0, "logs": 0, "checkpoints": 0}
    assert set(house.flow.tasks) == {"t0", "t1", "t2", "t3"}


def test_tasks_beyond_the_limit_are_forgotten_and_their_files_stay(house):
    assert house.tidy(tasks=1)["tasks"] == 3
    assert set(house.flow.tasks) == {"t3"}
    assert "best.safetensors" in house.files("t0")


def test_a_new_task_under_the_id_of_one_that_was_to_be_forgotten_stays(house):
    def submit_another():
        house.before_forgetting = lambda: None
        house.flow.handle(te.TaskDeleted("t1"), now=9_000.0)
        house.flow.handle(te.TaskSubmitted(make_submission("t1")), now=9_000.0)

    house.before_forgetting = submit_another
    assert house.tidy(tasks=1)["tasks"] == 2
    assert set(house.flow.tasks) == {"t1", "t3"}


def test_the_logs_of_the_oldest_tasks_go_and_one_line_says_so(house):
    one = asyncio.run(house.hub.total_bytes()) // 4
    assert house.tidy(logs_bytes=3 * one + 1000)["logs"] == 1
    answer = house.log("t0")
    (line,) = answer.lines
    assert (line.seq, line.status, answer.is_complete) == (1, "completed", True)
    assert line.message == "this log was removed on 1970-01-01 02:46+00:00, as RFUAV_KEEP_LOGS_MB wants it"
    assert len(house.log("t1").lines) == 21
    assert "t0" in house.flow.tasks
    assert asyncio.run(house.hub.total_bytes()) <= 3 * one + 1000


def test_logs_go_by_the_age_of_their_tasks(house):
    assert house.tidy(logs_age_s=9_000.0 - 1.5)["logs"] == 2
    assert [len(house.log(f"t{number}").lines) for number in range(4)] == [1, 1, 21, 21]
    assert "RFUAV_KEEP_LOGS_DAYS" in house.log("t1").lines[0].message


def test_the_log_of_a_task_that_runs_stays_whatever_its_size(house):
    house.flow.handle(te.TaskSubmitted(make_submission("running")), now=1.0)
    asyncio.run(house.hub.append("running", "a", [LogDraft(1, 1.0, "INFO", LINE * 100)]))
    house.tidy(logs_bytes=1, logs_age_s=1.0)
    assert len(house.log("running").lines[0].message) == 100_000


def test_a_removed_log_stays_as_it_is(house):
    house.tidy(logs_bytes=1)
    house.clock.at += 1_000_000.0
    assert house.tidy(logs_bytes=1, logs_age_s=1.0)["logs"] == 0
    assert "1970-01-01" in house.log("t0").lines[0].message
    assert asyncio.run(house.hub.append("t0", "late", [LogDraft(1, 1.0, "INFO", "late")])) == 1


def test_who_follows_a_log_from_far_inside_learns_that_it_is_over(house):
    house.tidy(logs_bytes=1)
    answer = asyncio.run(house.hub.read("t0", after=15))
    assert (answer.lines, answer.is_complete) == ((), True)


def test_a_log_is_removed_also_by_a_hub_that_follows(house):
    house.tidy(logs_bytes=1)
    house.hub = LogHub(house.root / "state")
    assert len(house.log("t2").lines) == 1


def test_checkpoints_go_by_age_and_size_and_weights_stay(house):
    assert house.tidy(checkpoints_age_s=9_000.0 - 0.5)["checkpoints"] == 1
    assert house.files("t0") == {"best.safetensors", "epoch_1.safetensors"}
    assert len(house.files("t1")) == 5
    assert house.tidy(checkpoints_bytes=3_000)["checkpoints"] == 2
    assert [len(house.files(f"t{number}")) for number in range(4)] == [2, 2, 2, 5]


def test_a_checkpoint_that_a_waiting_training_goes_on_from_stays(house):
    again = make_submission("again", request={"resume_from": "t0"}, resolved={"output": str(house.root / "out" / "again")})
    house.flow.handle(te.TaskSubmitted(again), now=9_000.0)
    assert house.tidy(checkpoints_age_s=1.0)["checkpoints"] == 3
    assert len(house.files("t0")) == 5


@pytest.mark.parametrize("beginning", ["from it", "in its folder"])
def test_a_training_that_begins_while_others_checkpoints_are_removed_keeps_its_own_and_the_rest_go(beginning, house, monkeypatch):
    chosen, seen = house.root / "out" / "t2", []
    request, output = ({"resume_from": "t2"}, chosen.with_name("again")) if beginning == "from it" else ({}, chosen)
    again = make_submission("again", request=request, resolved={"output": str(output)})
    remove, look = Housekeeper._remove_checkpoints, housekeeping.checkpoint_folders

    def begin_then_remove(keeper, folder):
        if "again" not in house.flow.tasks:
            house.flow.handle(te.TaskSubmitted(again), now=9_000.0)
        return remove(keeper, folder)

    monkeypatch.setattr(Housekeeper, "_remove_checkpoints", begin_then_remove)
    monkeypatch.setattr(housekeeping, "checkpoint_folders", lambda *args: seen.append(1) or look(*args))
    assert house.tidy(checkpoints_age_s=1.0)["checkpoints"] == 3
    assert [len(house.files(f"t{number}")) for number in range(4)] == [2, 2, 5, 2]
    assert len(seen) == 1, "all tasks are looked through once, not once for each folder"


def leave_staging(house, task_id):
    """What an attempt leaves that is killed while it writes."""
    staging = house.root / "out" / task_id / ".attempt-7"
    staging.mkdir()
    (staging / "last.ckpt.tmp").write_bytes(bytes(1000))
    return staging


def test_what_killed_attempts_left_goes_without_limits_and_before_the_record_does(house):
    left = [leave_staging(house, task_id) for task_id in ("t0", "t3")]
    assert house.tidy(tasks=1) == {"tasks": 3, "logs": 0, "checkpoints": 2}
    assert not any(path.exists() for path in left)
    assert len(house.files("t0")) == 5


def test_what_an_unfinished_task_has_in_staging_stays_and_so_does_what_ended_just_now(house):
    output = str(house.root / "out" / "t0")
    house.flow.handle(te.TaskSubmitted(make_submission("again", resolved={"output": output})), now=9_000.0)
    house.end_task("just now", at=9_970.0)
    left = [leave_staging(house, task_id) for task_id in ("t0", "just now")]
    assert house.tidy()["checkpoints"] == 0
    assert all(path.exists() for path in left)


def test_nothing_in_staging_is_removed_through_a_link(house, tmp_path):
    outside = leave_staging(house, "t0").rename(tmp_path / "outside")
    (house.root / "out/t0/.attempt-7").symlink_to(outside)
    leave_staging(house, "t1")
    (house.root / "out/t1").rename(tmp_path / "moved")
    (house.root / "out/t1").symlink_to(tmp_path / "moved")
    (house.root / "out/t2/.attempt-8").write_bytes(b"a file")
    assert house.tidy()["checkpoints"] == 0
    assert (outside / "last.ckpt.tmp").exists()
    assert (tmp_path / "moved/.attempt-7/last.ckpt.tmp").exists()
    assert (house.root / "out/t2/.attempt-8").exists()


def test_nothing_is_removed_through_a_link_that_leads_out_of_the_data_roots(house, tmp_path):
    outside = tmp_path / "outside"
    (house.root / "out" / "t0").rename(outside)
    (house.root / "out" / "t0").symlink_to(outside)
    assert house.tidy(checkpoints_age_s=1.0)["checkpoints"] == 3
    assert (outside / "last.ckpt").exists()
