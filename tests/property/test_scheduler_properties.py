"""The scheduler under any mix of events: its invariants hold after every step, and a replay gives the same commands."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.core import events as ev
from actors.core.errors import LimitError
from actors.core.model import LeaseRequest, Policy, WorkKind
from actors.core.placement import find_obstacle
from actors.core.scheduler import Scheduler
from tests.unit.core.factories import make_cpu, make_gpu

SELECTORS = ("cuda", "cuda:0", "cuda:1", "cuda:2", "cpu", "cpu:0")
limits = st.integers(0, 64) | st.integers(0, 4)
patience = st.sampled_from([0.5, 600.0, float("inf")])


class SchedulerMachine(RuleBasedStateMachine):
    """Drives one scheduler and keeps a second set of books, written without looking at the first."""

    @initialize(gpus=st.integers(0, 3), patience_s=patience)
    def begin(self, gpus, patience_s):
        self.policy = Policy(patience_s=patience_s, lease_ttl_s=30.0)
        self.scheduler = Scheduler(self.policy)
        self.now = 0.0
        self.journal = []  # (event, now, commands)
        self.requests = {}  # every request that was accepted, by id
        self.waiting = set()
        self.holding = {}  # lease id -> lease
        self.ending = set()  # lease ids being reclaimed
        self.ended = set()
        self.tokens = []
        for device in [make_cpu(), *(make_gpu(index) for index in range(gpus))]:
            self.send(ev.DeviceAdded(device))

    def send(self, event):
        self.fresh = []  # leases granted by this event
        commands = self.scheduler.handle(event, now=self.now)
        self.journal.append((event, self.now, commands))
        for command in commands:
            self.take_in(command)
        return commands

    def take_in(self, command):
        match command:
            case ev.Grant(lease):
                request_id = lease.request.request_id
                if lease.lease_id in self.holding:  # the answer to a repeated request
                    assert self.holding[lease.lease_id] == lease
                    return
                assert request_id not in self.ended, "granted after its end"
                assert request_id not in {held.request.request_id for held in self.holding.values()}, "granted twice"
                assert not self.tokens or lease.token > self.tokens[-1], "a token did not grow"
                self.tokens.append(lease.token)
                self.waiting.discard(request_id)
                self.holding[lease.lease_id] = lease
                self.fresh.append(lease)
            case ev.Queue(request_id):
                self.waiting.add(request_id)
            case ev.Reclaim(lease):
                assert lease.lease_id in self.holding
                assert lease.lease_id not in self.ending, "reclaimed twice"
                self.ending.add(lease.lease_id)
            case ev.Close(lease):
                del self.holding[lease.lease_id]
                self.ending.discard(lease.lease_id)
                self.ended.add(lease.request.request_id)

    @rule(
        work=st.sampled_from(WorkKind),
        selector=st.sampled_from(SELECTORS),
        priority=st.integers(1, 10),
        age=st.floats(0, 10_000, allow_nan=False),
    )
    def request(self, work, selector, priority, age):
        request_id = f"r{len(self.requests)}"
        request = LeaseRequest(request_id, request_id, work, selector, priority, self.now - age)
        commands = self.send(ev.LeaseRequested(request))
        if not any(isinstance(command, ev.Reject) for command in commands):
            self.requests[request_id] = request
            assert request_id in self.waiting or any(lease.request.request_id == request_id for lease in self.holding.values()), (
                "an accepted request was lost"
            )

    @precondition(lambda self: self.requests)
    @rule(data=st.data())
    def repeat(self, data):
        request_id = data.draw(st.sampled_from(sorted(self.requests)))
        (answer,) = self.send(ev.LeaseRequested(self.requests[request_id]))
        assert isinstance(answer, ev.Reject) == (request_id in self.ended)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data):
        request_id = data.draw(st.sampled_from(sorted(self.waiting)))
        self.waiting.discard(request_id)
        self.ended.add(request_id)
        self.send(ev.RequestWithdrawn(request_id))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), priority=st.integers(1, 10))
    def rerank(self, data, priority):
        self.send(ev.RequestReranked(data.draw(st.sampled_from(sorted(self.waiting))), priority))

    @precondition(lambda self: self.holding)
    @rule(data=st.data(), token_step=st.sampled_from([0, 0, 0, 1, -1]))
    def release(self, data, token_step):
        lease = self.holding[data.draw(st.sampled_from(sorted(self.holding)))]
        commands = self.send(ev.LeaseReleased(lease.lease_id, lease.token + token_step))
        assert token_step == 0 or commands == []

    @precondition(lambda self: self.ending)
    @rule(data=st.data())
    def process_ends(self, data):
        self.send(ev.HolderGone(data.draw(st.sampled_from(sorted(self.ending)))))

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def holder_dies(self, data):
        self.send(ev.HolderGone(data.draw(st.sampled_from(sorted(self.holding)))))

    @precondition(lambda self: self.holding)
    @rule(data=st.data())
    def renew(self, data):
        lease = self.holding[data.draw(st.sampled_from(sorted(self.holding)))]
        was_ending = lease.lease_id in self.ending
        answer = self.send(ev.LeaseRenewed(lease.lease_id, lease.token))[0]
        assert isinstance(answer, ev.Refuse) or not was_ending

    @rule(seconds=st.floats(0, 40))
    def time_passes(self, seconds):
        self.now += seconds
        self.send(ev.Ticked())

    @rule(data=st.data(), work=st.sampled_from(WorkKind), limit=limits)
    def change_limit(self, data, work, limit):
        device_id = data.draw(st.sampled_from(sorted(self.scheduler.ledger.accounts)))
        try:
            self.send(ev.LimitsChanged({device_id: {work: limit}}))
        except LimitError:
            assert device_id.startswith("cuda")
            assert work is WorkKind.PREPROCESSING

    @rule(data=st.data(), comes_back=st.booleans())
    def device_goes(self, data, comes_back):
        account = self.scheduler.ledger.accounts[data.draw(st.sampled_from(sorted(self.scheduler.ledger.accounts)))]
        self.send(ev.DeviceLost(account.device.device_id))
        if comes_back:
            self.send(ev.DeviceAdded(account.device))

    @invariant()
    def books_agree(self):
        self.scheduler.validate()
        assert set(self.scheduler.line.waiting) == self.waiting
        assert set(self.scheduler.ledger.entries) == set(self.holding)

    @invariant()
    def nobody_is_granted_over_a_limit(self):
        for lease in getattr(self, "fresh", ()):
            account = self.scheduler.ledger.accounts[lease.device_id]
            assert account.counts[lease.request.work] <= account.limits[lease.request.work]

    @invariant()
    def nobody_waits_who_could_start(self):
        best = {}
        for entry in self.scheduler.line.waiting.values():
            key = (entry.request.work, entry.request.selector)
            best[key] = min(best.get(key, entry.rank), entry.rank)
        for account in self.scheduler.ledger.accounts.values():
            heads = sorted(
                (rank, work)
                for (work, selector), rank in best.items()
                if selector in (account.device.kind.value, account.device.device_id)
            )
            for _, work in heads:
                obstacle = find_obstacle(account, work, self.policy)
                assert obstacle is not None, f"{work} could start on {account.device.device_id}"
                if obstacle is not ev.WaitReason.LIMIT:
                    break

    def teardown(self):
        if not hasattr(self, "journal"):
            return
        replayed = Scheduler(self.policy)
        for event, now, commands in self.journal:
            assert replayed.handle(event, now=now) == commands


class TestScheduler(SchedulerMachine.TestCase):
    settings = settings(max_examples=150, stateful_step_count=50, deadline=None)


@pytest.mark.long
@pytest.mark.timeout(1800)
class TestSchedulerAtLength(SchedulerMachine.TestCase):
    settings = settings(max_examples=3_000, stateful_step_count=100, deadline=None)
