from dataclasses import replace

import pytest

from actors.core import task_events as te
from actors.core.errors import (
    DuplicateRequestError,
    InvalidTransitionError,
    TaskEndedError,
    TaskNotEndedError,
    TaskNotFoundError,
    TaskNotWaitingError,
    UnsatisfiableRequestError,
)
from actors.core.model import Lease, Portion, WorkKind
from actors.core.task_flow import TaskFlow
from actors.core.tasks import TRANSITIONS, EndMode, Progress, Submission, TaskFault, TaskState

FAULT = TaskFault("dataset_invalid", "no pictures", "add some")


def make_submission(task_id="t", **changes):
    return replace(Submission(task_id, WorkKind.TRAINING, "training", {"model": "resnet18"}, "cpu", 5), **changes)


def lease_for(flow, task_id="t", token=1):
    request = flow.lease_request(flow.get(task_id))
    return Lease(f"lease-{token}", token, request, (Portion("cpu:0", 1200, 0),), 5.0)


@pytest.fixture
def flow():
    flow = TaskFlow()
    yield flow
    flow.validate()


@pytest.fixture
def waiting(flow):
    flow.handle(te.TaskSubmitted(make_submission()), now=1)
    flow.handle(te.LeaseQueued("t.1", "limit"), now=2)
    return flow


@pytest.fixture
def running(waiting):
    waiting.handle(te.LeaseGranted(lease_for(waiting)), now=5)
    return waiting


def kinds(commands):
    return [type(command) for command in commands]


class TestSubmission:
    @pytest.mark.parametrize(("request_body", "profile"), [({"model": "resnet18"}, "resnet18"), ({}, "image_crop")])
    def test_what_lasts_equally_long_is_the_same_model_or_the_same_type_of_task(self, flow, request_body, profile):
        submission = make_submission(task_type="image_crop", request=request_body)
        assert flow.handle(te.TaskSubmitted(submission), now=1)[-1].request.profile == profile

    def test_an_accepted_task_is_saved_before_its_lease_is_asked_for(self, flow):
        commands = flow.handle(te.TaskSubmitted(make_submission(priority=2)), now=1)
        assert kinds(commands) == [te.SaveTask, te.Announce, te.RequestLease]
        assert commands[0].durable
        request = commands[2].request
        assert (request.request_id, request.priority, request.submitted_at) == ("t.1", 2, 1)

    def test_what_the_body_held_in_vain_is_told_in_the_log_and_makes_no_other_request_of_it(self, flow):
        commands = flow.handle(te.TaskSubmitted(make_submission(ignored_fields=("gpus", "threshold"))), now=1)
        warning = commands[2]
        assert (warning.level, "gpus, threshold" in warning.message) == ("WARNING", True)
        assert flow.handle(te.TaskSubmitted(make_submission()), now=2) == []

    def test_repeating_a_submission_changes_nothing(self, running):
        before = running.get("t")
        assert running.handle(te.TaskSubmitted(make_submission()), now=9) == []
        assert running.get("t") == before

    def test_another_content_under_the_same_id_is_refused(self, running):
        with pytest.raises(DuplicateRequestError, match="choose a new one"):
            running.handle(te.TaskSubmitted(make_submission(priority=1)), now=9)

    def test_what_can_never_be_granted_fails_with_the_reason(self, flow):
        flow.handle(te.TaskSubmitted(make_submission()), now=1)
        flow.handle(te.LeaseRejected("t.1", UnsatisfiableRequestError("t.1", "no GPU here")), now=2)
        task = flow.get("t")
        assert (task.state, task.fault.code, task.fault.message) == (TaskState.FAILED, "impossible_device", "no GPU here")


class TestAttempts:
    def test_a_grant_starts_the_attempt(self, waiting):
        lease = lease_for(waiting)
        commands = waiting.handle(te.LeaseGranted(lease), now=5)
        task = waiting.get("t")
        assert commands[-1] == te.StartAttempt(task, lease, resume=False)
        assert (task.state, task.started_at, task.lease.device_id) == (TaskState.RUNNING, 5, "cpu:0")

    def test_a_second_report_of_the_same_grant_starts_nothing(self, running):
        assert running.handle(te.LeaseGranted(lease_for(running)), now=6) == []

    def test_a_grant_that_nobody_waits_for_is_given_back(self, waiting):
        lease = lease_for(waiting)
        waiting.handle(te.EndRequested("t", EndMode.CANCEL), now=3)
        assert waiting.handle(te.LeaseGranted(lease), now=5) == [te.FinishAttempt("t.1", "lease-1", 1)]

    def test_a_completed_attempt_completes_the_task_and_gives_back_the_lease(self, running):
        commands = running.handle(te.AttemptEnded("t.1", "completed", "done", progress=Progress(99, "x")), now=9)
        task = running.get("t")
        assert (task.state, task.finished_at, task.progress.percent, task.lease) == (TaskState.COMPLETED, 9, 100, None)
        assert commands[-1] == te.FinishAttempt("t.1", "lease-1", 1, is_complete=True)
        assert any(isinstance(command, te.Announce) and command.is_last for command in commands)

    def test_the_users_mistake_is_not_retried(self, running):
        running.handle(te.AttemptEnded("t.1", "failed", "no pictures", FAULT), now=9)
        assert (running.get("t").state, running.get("t").fault) == (TaskState.FAILED, FAULT)

    def test_a_died_attempt_is_repeated_with_its_old_rank_and_resumes(self, running):
        commands = running.handle(te.AttemptDied("t.1", "killed"), now=9)
        assert running.get("t").state is TaskState.QUEUED
        request = commands[-1].request
        assert (request.request_id, request.submitted_at) == ("t.2", 1)
        assert te.FinishAttempt("t.1", "lease-1", 1) in commands
        start = running.handle(te.LeaseGranted(lease_for(running, token=2)), now=10)[-1]
        assert start.resume

    def test_after_the_last_retry_it_fails_and_says_how(self, running):
        for number in (1, 2):
            running.handle(te.AttemptDied(f"t.{number}", "killed"), now=9)
            running.handle(te.LeaseGranted(lease_for(running, token=number + 1)), now=10)
        running.handle(te.AttemptDied("t.3", "killed"), now=11)
        task = running.get("t")
        assert (task.state, task.fault.code, task.attempts) == (TaskState.FAILED, "attempt_died", 3)
        assert "attempt 3 died: killed" in task.fault.message

    @pytest.mark.parametrize(
        ("work", "word"), [(WorkKind.TRAINING, "batch_size"), (WorkKind.PREPROCESSING, "the same request goes on")]
    )
    def test_the_hint_after_a_death_fits_the_work(self, flow, work, word):
        flow.handle(te.TaskSubmitted(make_submission(work=work, max_retries=0)), now=1)
        flow.handle(te.LeaseGranted(lease_for(flow)), now=2)
        flow.handle(te.AttemptDied("t.1", "killed"), now=3)
        assert word in flow.get("t").fault.hint

    def test_an_old_attempt_changes_nothing(self, running):
        running.handle(te.AttemptDied("t.1", "killed"), now=9)
        before = running.get("t")
        assert running.handle(te.AttemptEnded("t.1", "completed", "late"), now=10) == []
        assert running.handle(te.AttemptProgressed("t.1", Progress(50, "late")), now=10) == []
        assert running.get("t") == before

    def test_progress_is_kept_but_need_not_be_durable(self, running):
        (save,) = running.handle(te.AttemptProgressed("t.1", Progress(50, "half", epoch=2)), now=9)
        assert not save.durable
        assert running.get("t").progress.epoch == 2


class TestEnding:
    def test_cancelling_a_waiting_task_takes_it_out_of_the_line(self, waiting):
        commands = waiting.handle(te.EndRequested("t", EndMode.CANCEL), now=3)
        assert waiting.get("t").state is TaskState.CANCELLED
        assert commands[-1] == te.WithdrawRequest("t.1")

    def test_cancelling_a_running_task_stops_it_for_real_first(self, running):
        commands = running.handle(te.EndRequested("t", EndMode.CANCEL), now=6)
        assert running.get("t").state is TaskState.RUNNING
        assert commands[-1] == te.StopAttempt("t.1", at_once=False)
        running.handle(te.AttemptEnded("t.1", "stopped", "stopped at epoch 2"), now=7)
        assert running.get("t").state is TaskState.CANCELLED

    def test_what_was_cancelled_never_becomes_completed(self, running):
        running.handle(te.EndRequested("t", EndMode.CANCEL), now=6)
        running.handle(te.AttemptEnded("t.1", "completed", "it had just finished"), now=7)
        assert running.get("t").state is TaskState.CANCELLED

    def test_a_cancelled_attempt_that_dies_is_not_repeated(self, running):
        running.handle(te.EndRequested("t", EndMode.KILL), now=6)
        running.handle(te.AttemptDied("t.1", "killed"), now=7)
        assert running.get("t").state is TaskState.CANCELLED

    def test_a_kill_follows_a_stop_but_not_the_other_way(self, running):
        running.handle(te.EndRequested("t", EndMode.STOP), now=6)
        assert running.handle(te.EndRequested("t", EndMode.KILL), now=7)[-1] == te.StopAttempt("t.1", at_once=True)
        assert running.handle(te.EndRequested("t", EndMode.STOP), now=8) == []
        assert running.get("t").ending is EndMode.KILL

    def test_an_ended_task_cannot_be_ended_again(self, waiting):
        waiting.handle(te.EndRequested("t", EndMode.CANCEL), now=3)
        with pytest.raises(TaskEndedError):
            waiting.handle(te.EndRequested("t", EndMode.CANCEL), now=4)

    def test_only_ended_tasks_can_be_deleted(self, running):
        with pytest.raises(TaskNotEndedError):
            running.handle(te.TaskDeleted("t"), now=6)
        running.handle(te.AttemptEnded("t.1", "completed", "done"), now=7)
        assert running.handle(te.TaskDeleted("t"), now=8) == [te.ForgetTask("t")]
        with pytest.raises(TaskNotFoundError):
            running.handle(te.TaskDeleted("t"), now=9)

    def test_a_request_of_a_task_that_ended_meanwhile_is_withdrawn(self, waiting):
        waiting.handle(te.EndRequested("t", EndMode.CANCEL), now=3)
        assert waiting.handle(te.LeaseQueued("t.1", "limit"), now=4) == [te.WithdrawRequest("t.1")]


def walk_to(state):
    """A flow whose only task is in the given state."""
    flow = TaskFlow()
    flow.handle(te.TaskSubmitted(make_submission()), now=1)
    if state is TaskState.PENDING:
        return flow
    flow.handle(te.LeaseQueued("t.1", "limit"), now=2)
    if state is TaskState.QUEUED:
        return flow
    flow.handle(te.LeaseGranted(lease_for(flow)), now=3)
    if state is TaskState.RUNNING:
        return flow
    outcome = {TaskState.COMPLETED: "completed", TaskState.FAILED: "failed", TaskState.CANCELLED: "stopped"}[state]
    flow.handle(te.AttemptEnded("t.1", outcome, outcome, FAULT if outcome == "failed" else None), now=4)
    return flow


@pytest.mark.parametrize("before", TaskState)
@pytest.mark.parametrize("after", TaskState)
def test_every_edge_of_the_table_and_no_other(before, after):
    flow = walk_to(before)
    task = flow.get("t")
    assert task.state is before
    if after in TRANSITIONS[before]:
        flow._move(task, after, "walk", 9.0)
        assert flow.get("t").history[-1].after is after
    else:
        with pytest.raises(InvalidTransitionError, match=f"cannot become {after}; its history: pending"):
            flow._move(task, after, "walk", 9.0)


def test_a_restored_task_goes_on_where_it_was():
    before = walk_to(TaskState.RUNNING)
    after = TaskFlow()
    after.restore(before.get("t"))
    after.handle(te.AttemptEnded("t.1", "completed", "done"), now=9)
    assert after.get("t").state is TaskState.COMPLETED
    after.validate()


OUT_OF_MEMORY = TaskFault("gpu_out_of_memory", "ran out of GPU memory", "lower batch_size")


def run_out_of_memory(flow, batch_size=8, on_oom="reduce_batch", **changes):
    request = {"model": "resnet18", "batch_size": batch_size, "on_oom": on_oom}
    flow.handle(te.TaskSubmitted(make_submission(request=request, **changes)), now=1)
    flow.handle(te.LeaseGranted(lease_for(flow)), now=2)
    return flow.handle(te.AttemptEnded("t.1", "failed", "ran out of GPU memory", OUT_OF_MEMORY), now=3)


class TestOutOfMemory:
    def test_with_reduce_batch_it_goes_on_from_its_checkpoint_with_half_the_batch(self, flow):
        commands = run_out_of_memory(flow)
        task = flow.get("t")
        assert (task.state, task.batch_size_override, task.request["batch_size"], task.fault) == (TaskState.QUEUED, 4, 4, None)
        assert kinds(commands) == [te.SaveTask, te.Announce, te.FinishAttempt, te.SaveTask, te.RequestLease]
        assert "going on from the last checkpoint with batch_size 4" in commands[1].message
        assert (commands[-1].request.request_id, commands[-1].request.submitted_at) == ("t.2", 1)
        start = flow.handle(te.LeaseGranted(lease_for(flow, token=2)), now=4)[-1]
        assert (start.resume, start.task.request["batch_size"]) == (True, 4)

    def test_a_smaller_batch_is_no_retry(self, flow):
        run_out_of_memory(flow, max_retries=1)
        flow.handle(te.LeaseGranted(lease_for(flow, token=2)), now=4)
        flow.handle(te.AttemptDied("t.2", "killed"), now=5)
        assert flow.get("t").state is TaskState.QUEUED
        flow.handle(te.LeaseGranted(lease_for(flow, token=3)), now=6)
        flow.handle(te.AttemptDied("t.3", "killed"), now=7)
        assert (flow.get("t").state, flow.get("t").request["batch_size"]) == (TaskState.FAILED, 4)

    def test_it_is_halved_until_one_picture_is_too_much(self, flow):
        run_out_of_memory(flow, batch_size=5, max_retries=0)
        sizes = []
        for number in (2, 3):
            sizes.append(flow.get("t").request["batch_size"])
            flow.handle(te.LeaseGranted(lease_for(flow, token=number)), now=number)
            flow.handle(te.AttemptEnded(f"t.{number}", "failed", "ran out of GPU memory", OUT_OF_MEMORY), now=number)
        task = flow.get("t")
        assert (sizes, task.state, task.fault) == ([2, 1], TaskState.FAILED, OUT_OF_MEMORY)

    def test_without_it_the_task_fails_with_the_code(self, flow):
        run_out_of_memory(flow, on_oom="fail")
        assert (flow.get("t").state, flow.get("t").fault) == (TaskState.FAILED, OUT_OF_MEMORY)

    def test_what_a_user_ends_meanwhile_does_not_go_on(self, flow):
        request = {"model": "resnet18", "batch_size": 8, "on_oom": "reduce_batch"}
        flow.handle(te.TaskSubmitted(make_submission(request=request)), now=1)
        flow.handle(te.LeaseGranted(lease_for(flow)), now=2)
        flow.handle(te.EndRequested("t", EndMode.STOP), now=3)
        flow.handle(te.AttemptEnded("t.1", "failed", "ran out of GPU memory", OUT_OF_MEMORY), now=4)
        assert flow.get("t").state is TaskState.CANCELLED

    def test_what_was_remarked_on_the_need_is_a_warning_in_the_log(self, flow):
        notes = {"memory_note": "needs 9 GiB", "disk_note": "takes 8 GiB"}
        commands = flow.handle(te.TaskSubmitted(make_submission(resolved=notes)), now=1)
        assert kinds(commands) == [te.SaveTask, te.Announce, te.Announce, te.Announce, te.RequestLease]
        assert [(each.level, each.message) for each in commands[2:4]] == [("WARNING", "needs 9 GiB"), ("WARNING", "takes 8 GiB")]


class TestGivingWay:
    """A running attempt whose lease is revoked saves its work, ends, and waits again with the rank it had."""

    def test_a_revoked_attempt_is_asked_to_stop_once(self, running):
        commands = running.handle(te.LeaseRevoked("t.1"), now=6)
        assert te.StopAttempt("t.1", at_once=False) in commands
        assert running.get("t").is_pausing
        assert running.handle(te.LeaseRevoked("t.1"), now=7) == []

    def test_it_goes_back_into_the_line_as_another_attempt_with_its_old_rank(self, running):
        running.handle(te.LeaseRevoked("t.1"), now=6)
        commands = running.handle(te.AttemptEnded("t.1", "stopped", "saved"), now=9)
        task = running.get("t")
        assert (task.state, task.attempt_id, task.preemptions, task.is_pausing) == (TaskState.QUEUED, "t.2", 1, False)
        (request,) = [command.request for command in commands if isinstance(command, te.RequestLease)]
        assert (request.request_id, request.submitted_at) == ("t.2", task.submitted_at)
        assert te.FinishAttempt("t.1", "lease-1", 1) in commands

    def test_giving_way_uses_up_no_retry(self, running):
        for number in range(1, 6):
            running.handle(te.LeaseRevoked(f"t.{number}"), now=6)
            running.handle(te.AttemptEnded(f"t.{number}", "stopped", "saved"), now=7)
            running.handle(te.LeaseGranted(lease_for(running, token=number + 1)), now=8)
        assert (running.get("t").state, running.get("t").attempts) == (TaskState.RUNNING, 6)

    def test_a_death_on_the_way_out_is_no_failure_either(self, running):
        running.handle(te.LeaseRevoked("t.1"), now=6)
        running.handle(te.AttemptDied("t.1", "killed after the grace period"), now=9)
        assert (running.get("t").state, running.get("t").preemptions) == (TaskState.QUEUED, 1)

    def test_work_that_was_completed_meanwhile_is_completed(self, running):
        running.handle(te.LeaseRevoked("t.1"), now=6)
        running.handle(te.AttemptEnded("t.1", "completed", "done"), now=9)
        assert running.get("t").state is TaskState.COMPLETED

    def test_a_cancelled_task_does_not_come_back(self, running):
        running.handle(te.LeaseRevoked("t.1"), now=6)
        running.handle(te.EndRequested("t", EndMode.CANCEL), now=7)
        running.handle(te.AttemptEnded("t.1", "stopped", "saved"), now=9)
        assert running.get("t").state is TaskState.CANCELLED

    def test_who_does_not_run_has_nothing_to_give(self, waiting):
        assert waiting.handle(te.LeaseRevoked("t.1"), now=6) == []
        assert waiting.handle(te.LeaseRevoked("unknown.1"), now=6) == []


class TestPriority:
    def test_a_waiting_task_is_reranked_and_keeps_what_was_submitted(self, waiting):
        commands = waiting.handle(te.PriorityChanged("t", 1), now=3)
        assert te.RerankRequest("t.1", 1) in commands
        task = waiting.get("t")
        assert (task.priority, task.submission.priority) == (1, 5)
        assert waiting.lease_request(task).priority == 1
        assert waiting.handle(te.PriorityChanged("t", 1), now=4) == []

    def test_only_a_waiting_task_is_reranked(self, running):
        with pytest.raises(TaskNotWaitingError):
            running.handle(te.PriorityChanged("t", 1), now=6)
        with pytest.raises(TaskNotFoundError):
            running.handle(te.PriorityChanged("unknown", 1), now=6)


class TestEndOfTheService:
    def test_an_attempt_that_ended_with_the_whole_service_goes_on_and_uses_up_no_retry(self, flow):
        flow.handle(te.TaskSubmitted(make_submission(max_retries=0)), now=1)
        for number in (1, 2, 3):
            flow.handle(te.LeaseGranted(lease_for(flow, token=number)), now=2)
            commands = flow.handle(te.AttemptDied(f"t.{number}", "the service ended while it ran", is_counted=False), now=3)
        assert (flow.get("t").state, flow.get("t").interruptions) == (TaskState.QUEUED, 3)
        assert "the service ended while it ran; it goes on from its last checkpoint" in commands[1].message
        flow.handle(te.LeaseGranted(lease_for(flow, token=4)), now=4)
        flow.handle(te.AttemptDied("t.4", "killed"), now=5)
        assert flow.get("t").state is TaskState.FAILED

    def test_a_lease_that_was_over_before_anybody_heard_of_it_is_asked_for_anew(self, waiting):
        error = DuplicateRequestError("t.1", "the id 't.1' was used before")
        commands = waiting.handle(te.LeaseRejected("t.1", error), now=5)
        assert kinds(commands) == [te.SaveTask, te.RequestLease]
        assert (commands[1].request.request_id, commands[1].request.submitted_at) == ("t.2", 1)
        task = waiting.get("t")
        assert (task.state, task.attempts, task.interruptions) == (TaskState.QUEUED, 2, 1)
        start = waiting.handle(te.LeaseGranted(lease_for(waiting)), now=6)[-1]
        assert not start.resume, "it never ran: a checkpoint under its id is that of a task that was deleted"

    @pytest.mark.parametrize("error", [DuplicateRequestError("t.1", "used before"), UnsatisfiableRequestError("t.1", "never")])
    def test_a_refusal_that_comes_after_the_grant_changes_nothing(self, running, error):
        before = running.get("t")
        assert running.handle(te.LeaseRejected("t.1", error), now=6) == []
        assert running.get("t") is before

    def test_what_a_user_had_ended_before_does_not_go_on(self, running):
        running.handle(te.EndRequested("t", EndMode.CANCEL), now=6)
        running.handle(te.AttemptDied("t.1", "the service ended while it ran", is_counted=False), now=9)
        assert running.get("t").state is TaskState.CANCELLED


def test_each_step_is_told_under_its_number_and_a_remark_under_none(running):
    steps = running.handle(te.AttemptEnded("t.1", "completed", "done"), now=9)[1]
    assert (steps.step, steps.message, steps.is_last) == (4, "done", True)
    assert [te.tell_step(running.get("t"), number).message for number in (1, 2, 3, 4)] == [
        "training task accepted",
        "waiting for a device (limit)",
        "attempt 1 got cpu:0",
        "done",
    ]
    remark = running.handle(te.TaskSubmitted(make_submission("u", resolved={"memory_note": "needs 9 GiB"})), now=10)[2]
    assert remark.step == 0
