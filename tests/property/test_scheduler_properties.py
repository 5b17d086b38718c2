"""The scheduler under any mix of events: its invariants hold after every step, and a replay gives the same commands."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core import events as ev
from actors.core.errors import LimitError
from actors.core.model import GIB, LeaseRequest, Policy, WorkKind
from actors.core.scheduler import Scheduler
from tests.property.books import Books
from tests.unit.core.factories import make_cpu, make_gpu

SELECTORS = ("cuda", "cuda:0", "cuda:1", "cuda:2", "cpu", "cpu:0")
limits = st.integers(0, 64) | st.integers(0, 4)
patience = st.sampled_from([0.5, 600.0, float("inf")])
budgets = st.none() | st.integers(1, 26).map(lambda gib: gib * GIB)


class SchedulerMachine(RuleBasedStateMachine):
    """Drives one scheduler beside a second set of books, which are kept without looking at the first."""

    @initialize(gpus=st.integers(0, 3), nodes=st.integers(1, 2), patience_s=patience)
    def begin(self, gpus, nodes, patience_s):
        self.policy = Policy(patience_s=patience_s, lease_ttl_s=30.0, revoke_grace_s=60.0)
        self.scheduler = Scheduler(self.policy)
        self.books = Books(self.scheduler)
        self.now = 0.0
        self.journal = []  # (event, now, commands)
        for device in [make_cpu(), *(make_gpu(index, node=f"node-{index % nodes}") for index in range(gpus))]:
            self.send(ev.DeviceAdded(device))

    def send(self, event):
        commands = self.scheduler.handle(event, now=self.now)
        self.journal.append((event, self.now, commands))
        self.books.take_in(event, commands)
        return commands

    @rule(
        work=st.sampled_from(WorkKind),
        selector=st.sampled_from(SELECTORS),
        priority=st.integers(1, 10),
        age=st.floats(0, 10_000, allow_nan=False),
        budget=budgets,
        width=st.sampled_from([1, 1, 1, 2, 3]),
        preemptible=st.booleans(),
    )
    def request(self, work, selector, priority, age, budget, width, preemptible):
        request_id = f"r{len(self.books.requests)}"
        request = LeaseRequest(
            request_id,
            request_id,
            work,
            selector,
            priority,
            self.now - age,
            memory_bytes=budget,
            device_count=width,
            preemptible=preemptible,
        )
        commands = self.send(ev.LeaseRequested(request))
        if not any(isinstance(command, ev.Reject) for command in commands):
            assert self.books.knows(request_id), "an accepted request was lost"

    @precondition(lambda self: self.books.requests)
    @rule(data=st.data())
    def repeat(self, data):
        request_id = data.draw(st.sampled_from(sorted(self.books.requests)))
        (answer,) = self.send(ev.LeaseRequested(self.books.requests[request_id]))
        assert isinstance(answer, ev.Reject) == (request_id in self.books.ended)

    @precondition(lambda self: self.books.waiting)
    @rule(data=st.data())
    def withdraw(self, data):
        self.send(ev.RequestWithdrawn(data.draw(st.sampled_from(sorted(self.books.waiting)))))

    @precondition(lambda self: self.books.waiting)
    @rule(data=st.data(), priority=st.integers(1, 10))
    def rerank(self, data, priority):
        self.send(ev.RequestReranked(data.draw(st.sampled_from(sorted(self.books.waiting))), priority))

    @precondition(lambda self: self.books.holding)
    @rule(data=st.data(), token_step=st.sampled_from([0, 0, 0, 1, -1]))
    def release(self, data, token_step):
        lease = self.books.holding[data.draw(st.sampled_from(sorted(self.books.holding)))]
        commands = self.send(ev.LeaseReleased(lease.lease_id, lease.token + token_step))
        assert token_step == 0 or commands == []

    @precondition(lambda self: self.books.ending)
    @rule(data=st.data())
    def process_ends(self, data):
        self.send(ev.HolderGone(data.draw(st.sampled_from(sorted(self.books.ending)))))

    @precondition(lambda self: self.books.holding)
    @rule(data=st.data())
    def holder_dies(self, data):
        self.send(ev.HolderGone(data.draw(st.sampled_from(sorted(self.books.holding)))))

    @precondition(lambda self: self.books.holding)
    @rule(data=st.data())
    def renew(self, data):
        lease = self.books.holding[data.draw(st.sampled_from(sorted(self.books.holding)))]
        was_ending = lease.lease_id in self.books.ending
        answer = self.send(ev.LeaseRenewed(lease.lease_id, lease.token))[0]
        assert isinstance(answer, ev.Refuse) or not was_ending

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds):
        self.now += seconds
        self.send(ev.Ticked())

    @rule(data=st.data(), work=st.sampled_from(WorkKind), limit=limits)
    def change_limit(self, data, work, limit):
        device_id = self.any_device(data)
        try:
            self.send(ev.LimitsChanged({device_id: {work: limit}}))
        except LimitError:
            assert device_id.startswith("cuda")
            assert work is WorkKind.PREPROCESSING

    @rule(data=st.data(), foreign_gib=st.integers(0, 24), filled_gib=st.integers(0, 24))
    def measure_memory(self, data, foreign_gib, filled_gib):
        account = self.scheduler.ledger.accounts[self.any_device(data)]
        filled = dict.fromkeys(list(account.leases)[:2], filled_gib * GIB)
        self.send(ev.MemoryMeasured(account.device.device_id, foreign_gib * GIB, filled))

    @rule(data=st.data(), recovers=st.booleans())
    def quarantine(self, data, recovers):
        device_id = self.any_device(data)
        self.send(ev.DeviceQuarantined(device_id, "memory has not come back"))
        if recovers:
            self.send(ev.DeviceRecovered(device_id))

    @rule(data=st.data(), comes_back=st.booleans())
    def device_goes(self, data, comes_back):
        account = self.scheduler.ledger.accounts[self.any_device(data)]
        self.send(ev.DeviceLost(account.device.device_id))
        if comes_back:
            self.send(ev.DeviceAdded(account.device))

    @precondition(lambda self: self.books.waiting)
    @rule(data=st.data())
    def explain(self, data):
        before = (len(self.scheduler.line), self.scheduler.line.first(100))
        request_id = data.draw(st.sampled_from(sorted(self.books.waiting)))
        answer = self.scheduler.explain(request_id, now=self.now)
        assert answer.position == 1 + self.scheduler.line.first(1_000).index(request_id)
        assert answer.missing is not None
        self.scheduler.explain_draft(self.books.requests["r0"], now=self.now)
        assert (len(self.scheduler.line), self.scheduler.line.first(100)) == before

    def any_device(self, data):
        return data.draw(st.sampled_from(sorted(self.scheduler.ledger.accounts)))

    @invariant()
    def books_agree(self):
        self.books.compare()

    def teardown(self):
        if not hasattr(self, "journal"):
            return
        replayed = Scheduler(self.policy)
        for event, now, commands in self.journal:
            assert replayed.handle(event, now=now) == commands


class TestScheduler(SchedulerMachine.TestCase):
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.long
@pytest.mark.timeout(1800)
class TestSchedulerAtLength(SchedulerMachine.TestCase):
    settings = settings(max_examples=3_000, stateful_step_count=100, deadline=None)
