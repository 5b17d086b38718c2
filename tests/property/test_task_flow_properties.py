"""Tasks under any mix of events, late and repeated ones included: no illegal move, no lease lost, no task with two attempts at work."""

import itertools

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core import task_events as te
from actors.core.errors import TaskEndedError, TaskNotEndedError, TaskNotWaitingError, UnsatisfiableRequestError
from actors.core.model import Lease, Portion
from actors.core.task_flow import TaskFlow
from actors.core.tasks import OUT_OF_MEMORY, REDUCE_BATCH, TRANSITIONS, EndMode, Progress, TaskFault, TaskState
from tests.unit.core.test_task_flow import make_submission


class TaskFlowMachine(RuleBasedStateMachine):
    """Plays accountant and workers for one flow, and keeps count of what was asked for and given back."""

    @initialize()
    def begin(self):
        self.flow = TaskFlow()
        self.now = 0.0
        self.journal = []
        self.wanted = {}  # attempt id -> request, asked for and not answered for good
        self.leases = {}  # attempt id -> lease that was granted and not given back
        self.working = set()  # attempt ids whose process was started and not finished
        self.seen = {}  # task id -> longest history seen
        self.tokens = 0

    def send(self, event):
        self.now += 1
        commands = self.flow.handle(event, now=self.now)
        self.journal.append((event, self.now, commands))
        for command in commands:
            self.take_in(command)

    def take_in(self, command):
        match command:
            case te.RequestLease(request):
                assert request.request_id not in self.wanted
                self.wanted[request.request_id] = request
            case te.WithdrawRequest(attempt_id):
                self.wanted.pop(attempt_id, None)
                self.leases.pop(attempt_id, None)
            case te.StartAttempt(task, lease):
                assert lease.request.request_id == task.attempt_id
                assert task.attempt_id not in self.working, "started twice"
                others = {attempt for attempt in self.working if attempt.split(".")[0] == task.task_id}
                assert not others, "two attempts of one task at work"
                self.working.add(task.attempt_id)
            case te.FinishAttempt(attempt_id, lease_id):
                assert self.leases[attempt_id].lease_id == lease_id
                del self.leases[attempt_id]
                self.working.discard(attempt_id)

    @rule(number=st.integers(0, 5), retries=st.integers(0, 2), on_oom=st.sampled_from(["fail", REDUCE_BATCH]))
    def submit(self, number, retries, on_oom):
        request = {"model": "resnet18", "batch_size": 4, "on_oom": on_oom}
        task_id = f"t{number}"
        if task_id not in self.flow.tasks:
            self.send(te.TaskSubmitted(make_submission(task_id, max_retries=retries, request=request)))
        else:
            self.send(te.TaskSubmitted(self.flow.get(task_id).submission))

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def queue(self, data):
        self.send(te.LeaseQueued(data.draw(st.sampled_from(sorted(self.wanted))), "limit"))

    @precondition(lambda self: self.wanted)
    @rule(data=st.data(), is_told_twice=st.booleans())
    def grant(self, data, is_told_twice):
        attempt_id = data.draw(st.sampled_from(sorted(self.wanted)))
        self.tokens += 1
        request = self.wanted.pop(attempt_id)
        lease = Lease(f"lease-{self.tokens}", self.tokens, request, (Portion("cpu:0", 1, 0),), self.now)
        self.leases[attempt_id] = lease
        self.send(te.LeaseGranted(lease))
        if is_told_twice and attempt_id in self.leases:
            self.send(te.LeaseGranted(lease))

    @precondition(lambda self: self.wanted)
    @rule(data=st.data())
    def reject(self, data):
        attempt_id = data.draw(st.sampled_from(sorted(self.wanted)))
        del self.wanted[attempt_id]
        self.send(te.LeaseRejected(attempt_id, UnsatisfiableRequestError(attempt_id, "never")))

    @precondition(lambda self: self.working)
    @rule(data=st.data(), percent=st.integers(0, 100))
    def progress(self, data, percent):
        self.send(te.AttemptProgressed(data.draw(st.sampled_from(sorted(self.working))), Progress(percent, "on")))

    @rule(
        data=st.data(),
        outcome=st.sampled_from(["completed", "failed", "stopped", "died"]),
        code=st.sampled_from(["code", OUT_OF_MEMORY]),
        is_retryable=st.booleans(),
    )
    def attempt_ends(self, data, outcome, code, is_retryable):
        every = sorted({f"t{number}.{attempt}" for number in range(6) for attempt in (1, 2, 3)})
        attempt_id = data.draw(st.sampled_from(sorted(self.working) or every) | st.sampled_from(every))
        if outcome == "died":
            self.send(te.AttemptDied(attempt_id, "killed", is_counted=is_retryable))
        else:
            fault = TaskFault(code, "message") if outcome == "failed" else None
            self.send(te.AttemptEnded(attempt_id, outcome, outcome, fault, is_retryable and outcome == "failed"))

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def revoke(self, data):
        self.send(te.LeaseRevoked(data.draw(st.sampled_from(sorted(self.working)))))

    @precondition(lambda self: self.flow.tasks)
    @rule(data=st.data(), priority=st.integers(1, 10))
    def rerank(self, data, priority):
        task = self.flow.get(data.draw(st.sampled_from(sorted(self.flow.tasks))))
        try:
            self.send(te.PriorityChanged(task.task_id, priority))
        except TaskNotWaitingError:
            assert task.state not in (TaskState.PENDING, TaskState.QUEUED)
        else:
            assert self.flow.get(task.task_id).priority == priority

    @precondition(lambda self: self.flow.tasks)
    @rule(data=st.data(), mode=st.sampled_from(EndMode))
    def end(self, data, mode):
        task_id = data.draw(st.sampled_from(sorted(self.flow.tasks)))
        try:
            self.send(te.EndRequested(task_id, mode))
        except TaskEndedError:
            assert self.flow.get(task_id).state.is_final

    @precondition(lambda self: self.flow.tasks)
    @rule(data=st.data())
    def delete(self, data):
        task_id = data.draw(st.sampled_from(sorted(self.flow.tasks)))
        try:
            self.send(te.TaskDeleted(task_id))
        except TaskNotEndedError:
            assert not self.flow.get(task_id).state.is_final
        else:
            self.seen.pop(task_id, None)

    @invariant()
    def books_agree(self):
        self.flow.validate()
        holders = {task.attempt_id for task in self.flow.tasks.values() if task.lease is not None}
        assert set(self.leases) == holders == self.working
        waiting = {task.attempt_id for task in self.flow.waiting()}
        assert set(self.wanted) == waiting

    @invariant()
    def histories_only_grow_by_legal_moves(self):
        for task_id, task in self.flow.tasks.items():
            before = self.seen.get(task_id, ())
            assert task.history[: len(before)] == before
            self.seen[task_id] = task.history
            steps = [change.after for change in task.history]
            assert all(after in TRANSITIONS[step] for step, after in itertools.pairwise(steps))
            uncounted = task.preemptions + task.batch_reductions + task.interruptions
            assert task.attempts <= task.submission.max_retries + 1 + uncounted
            asked_to_end = task.ending is not None
            assert not (asked_to_end and task.state is TaskState.COMPLETED)

    def teardown(self):
        if not hasattr(self, "journal"):
            return
        replayed = TaskFlow()
        for event, now, commands in self.journal:
            assert replayed.handle(event, now=now) == commands


class TestTaskFlow(TaskFlowMachine.TestCase):
    settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
