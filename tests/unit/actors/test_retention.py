"""Which ended tasks, logs and checkpoints go by the limits of retention: the pure decision."""

from dataclasses import replace

import pytest

from actors.core.model import WorkKind
from actors.core.tasks import Submission, Task, TaskState
from actors.retention import Bounds, Kept, checkpoint_folders, choose_kept, choose_tasks, is_busy
from configs.settings import Settings

NO_BOUNDS = Bounds(tasks=0, tasks_age_s=0, logs_bytes=0, logs_age_s=0, checkpoints_bytes=0, checkpoints_age_s=0)
NOW = 1_000_000.0


def task(task_id, *, ended_s_ago=1000.0, state=TaskState.COMPLETED, batch_id="", **request):
    resolved = {"output": request.pop("output", f"/out/{task_id}"), "resume_from": request.pop("checkpoint", "")}
    submission = Submission(task_id, WorkKind.TRAINING, "training", request, "cpu", 5, batch_id=batch_id, resolved=resolved)
    ended_at = NOW - ended_s_ago if state.is_final else None
    return Task(submission, state, submitted_at=0.0, updated_at=NOW - ended_s_ago, finished_at=ended_at)


def choose(records, **bounds):
    return choose_tasks(records, replace(NO_BOUNDS, **bounds), NOW)


def test_without_limits_nothing_goes():
    assert choose([task("a", ended_s_ago=1e9)]) == []


def test_the_oldest_ended_tasks_go_until_their_number_is_right():
    tasks = [task(f"t{number}", ended_s_ago=1000.0 - number) for number in range(5)]
    assert choose(tasks, tasks=3) == ["t0", "t1"]
    assert choose(list(reversed(tasks)), tasks=3) == ["t0", "t1"]
    assert choose(tasks, tasks=5) == []


def test_tasks_that_ended_too_long_ago_go_whatever_their_number():
    tasks = [task("old", ended_s_ago=500.0), task("new", ended_s_ago=300.0)]
    assert choose(tasks, tasks_age_s=400.0, tasks=10) == ["old"]


@pytest.mark.parametrize("state", [state for state in TaskState if not state.is_final])
def test_a_task_that_has_not_ended_stays_and_does_not_count(state):
    assert choose([task("a", state=state, ended_s_ago=9e5), task("b"), task("c")], tasks=2) == []
    assert choose([task("a", state=state, ended_s_ago=9e5)], tasks_age_s=1.0) == []


def test_a_training_that_an_unfinished_one_goes_on_from_stays():
    tasks = [task("first", ended_s_ago=9e5), task("second", state=TaskState.QUEUED, resume_from="first")]
    assert choose(tasks, tasks_age_s=1.0) == []
    assert choose([tasks[0], task("second", ended_s_ago=10.0, resume_from="first")], tasks_age_s=100.0) == ["first"]


def test_what_ended_just_now_stays():
    assert choose([task("a", ended_s_ago=30.0), task("b", ended_s_ago=20.0)], tasks=1, tasks_age_s=1.0) == []


def test_a_batch_goes_as_a_whole_once_all_of_it_has_ended():
    batch = [task("b0", batch_id="b", ended_s_ago=9000.0), task("b1", batch_id="b", ended_s_ago=2000.0)]
    single = task("s", ended_s_ago=5000.0)
    assert choose([*batch, single], tasks=2) == ["s"], "the batch ended later than the other task"
    assert choose([*batch, single], tasks=1) == ["s", "b0", "b1"]
    running = [batch[0], replace(batch[1], state=TaskState.RUNNING)]
    assert choose(running, tasks_age_s=1.0) == []


KEPT = [Kept("a", NOW - 300, 10), Kept("b", NOW - 200, 20), Kept("c", NOW - 100, 30)]


@pytest.mark.parametrize(
    ("most_bytes", "most_age_s", "names"),
    [
        (0, 0, ""),
        (60, 0, ""),
        (59, 0, "a"),
        (50, 0, "a"),
        (49, 0, "ab"),
        (1, 0, "abc"),
        (0, 150, "ab"),
        (60, 250, "a"),
        (30, 250, "ab"),
    ],
)
def test_the_oldest_go_by_size_and_age(most_bytes, most_age_s, names):
    chosen = choose_kept(reversed(KEPT), most_bytes=most_bytes, most_age_s=most_age_s, now=NOW)
    assert "".join(each.name for each in chosen) == names


def test_checkpoints_of_a_folder_are_as_old_as_the_last_training_there():
    tasks = [task("a", output="/out", ended_s_ago=500.0), task("b", output="/out", ended_s_ago=400.0)]
    assert checkpoint_folders(tasks, NOW) == {"/out": NOW - 400.0}


def test_checkpoints_that_may_be_needed_are_never_among_those_that_may_go():
    first = task("first", output="/one")
    assert checkpoint_folders([first, task("next", state=TaskState.QUEUED, resume_from="first")], NOW) == {}
    assert checkpoint_folders([first, task("next", state=TaskState.RUNNING, output="/one")], NOW) == {}
    assert checkpoint_folders([first, task("next", state=TaskState.RUNNING)], NOW) == {"/one": NOW - 1000.0}
    assert checkpoint_folders([task("just now", ended_s_ago=5.0)], NOW) == {}


def test_a_folder_is_busy_while_an_unfinished_task_writes_there_or_goes_on_from_what_is_there():
    first = task("first", output="/one")
    known = {"first": first}
    assert is_busy("/one", [task("next", state=TaskState.QUEUED, resume_from="first")], known)
    assert is_busy("/one", [task("next", state=TaskState.RUNNING, output="/one")], known)
    assert is_busy("/one", [task("next", state=TaskState.QUEUED, resume_from="deleted", checkpoint="/one/last.ckpt")], {})
    assert not is_busy("/one", [task("next", state=TaskState.RUNNING), task("gone", resume_from="forgotten")], known)


def test_a_checkpoint_that_is_gone_on_from_stays_although_its_own_training_was_deleted():
    later = task("later", output="/one")
    going_on = task("next", state=TaskState.QUEUED, resume_from="deleted", checkpoint="/one/last.ckpt")
    assert checkpoint_folders([later, going_on], NOW) == {}
    assert checkpoint_folders([later, replace(going_on, state=TaskState.COMPLETED)], NOW).keys() == {"/one", "/out/next"}


def test_only_trainings_have_checkpoints():
    other = task("a")
    inference = replace(other, submission=replace(other.submission, work=WorkKind.INFERENCE))
    assert checkpoint_folders([inference], NOW) == {}


def test_settings_say_the_bounds_in_days_and_megabytes():
    bounds = Bounds.of(Settings(keep_logs_mb=3, keep_tasks_days=2, keep_checkpoints_gb=0.5))
    assert (bounds.tasks, bounds.logs_bytes, bounds.tasks_age_s) == (50_000, 3 * 2**20, 172_800)
    assert (bounds.checkpoints_bytes, bounds.checkpoints_age_s) == (2**29, 0)
