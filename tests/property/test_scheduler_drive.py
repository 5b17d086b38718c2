"""A seeded driver: very many random steps on clusters of up to 64 devices, beside a second set of books."""

import random

import pytest

from actors.core import events as ev
from actors.core.model import GIB, LeaseRequest, Policy, WorkKind
from actors.core.scheduler import Scheduler
from tests.property.books import Books
from tests.unit.core.factories import make_cpu, make_gpu

#: The whole proof costs more than a step; every grant is proved at once, the rest this often.
_PROVE_EVERY = 50


class Driver:
    """One cluster under a random load. The mix keeps its line busy and its devices near their limits."""

    def __init__(self, seed, devices):
        self.rng = random.Random(seed)
        policy = Policy(patience_s=self.rng.choice([1.0, 600.0, float("inf")]), lease_ttl_s=60.0, revoke_grace_s=90.0)
        self.scheduler = Scheduler(policy)
        self.books = Books(self.scheduler)
        self.now = 0.0
        self.number = 0
        per_node = self.rng.choice([1, 2, 4, 8])
        for index in range(devices):
            self.send(ev.DeviceAdded(make_gpu(index, node=f"node-{index // per_node}")))
        self.send(ev.DeviceAdded(make_cpu()))
        self.devices = sorted(self.scheduler.ledger.accounts)
        self.actions = [
            (self.request, 50),
            (self.end, 25),
            (self.pass_time, 8),
            (self.withdraw, 4),
            (self.rerank, 3),
            (self.change_limit, 2),
            (self.measure, 3),
            (self.quarantine, 1),
            (self.lose, 1),
        ]

    def drive(self, steps):
        actions, weights = zip(*self.actions, strict=True)
        for step, action in enumerate(self.rng.choices(actions, weights, k=steps)):
            self.now += self.rng.random()
            action()
            for lease in self.books.fresh:
                self.books.prove_fit(lease)
            if step % _PROVE_EVERY == 0:
                self.books.compare()
        self.books.compare()
        return self

    def send(self, event):
        self.books.take_in(event, self.scheduler.handle(event, now=self.now))

    def request(self):
        if len(self.books.waiting) > 300:
            return self.withdraw()
        self.number += 1
        name = f"r{self.number}"
        width = self.rng.choice([1, 1, 1, 1, 2, 3])
        selector = "cuda" if width > 1 else self.rng.choice(["cuda", "cuda", "cpu", self.rng.choice(self.devices)])
        works = [WorkKind.TRAINING, WorkKind.INFERENCE] + [WorkKind.PREPROCESSING] * selector.startswith("cpu")
        work = WorkKind.TRAINING if width > 1 else self.rng.choice(works)
        budget = self.rng.choice([None, None, self.rng.randint(1, 25) * GIB])
        request = LeaseRequest(
            name,
            name,
            work,
            selector,
            self.rng.randint(1, 10),
            self.now,
            memory_bytes=budget,
            device_count=width,
            preemptible=self.rng.random() < 0.5,
            profile=self.rng.choice(["resnet18", "vgg11"]),
        )
        return self.send(ev.LeaseRequested(request))

    def end(self):
        """A lease ends by release, by death, or because it was revoked: those first."""
        if not self.books.holding:
            return
        open_leases = self.books.revoked or self.books.holding
        lease = self.books.holding[self.rng.choice(sorted(open_leases))]
        if self.rng.random() < 0.8:
            self.send(ev.LeaseReleased(lease.lease_id, lease.token, is_complete=self.rng.random() < 0.5))
        self.send(ev.HolderGone(lease.lease_id))

    def pass_time(self):
        self.now += self.rng.choice([1.0, 1.0, 20.0])
        for lease_id in sorted(self.books.holding):
            if lease_id not in self.books.ending and self.rng.random() < 0.98:
                lease = self.books.holding[lease_id]
                self.send(ev.LeaseRenewed(lease_id, lease.token))
        self.send(ev.Ticked())

    def withdraw(self):
        if self.books.waiting:
            self.send(ev.RequestWithdrawn(self.rng.choice(sorted(self.books.waiting))))

    def rerank(self):
        if self.books.waiting:
            self.send(ev.RequestReranked(self.rng.choice(sorted(self.books.waiting)), self.rng.randint(1, 10)))

    def change_limit(self):
        work = self.rng.choice([WorkKind.TRAINING, WorkKind.INFERENCE])
        self.send(ev.LimitsChanged({self.rng.choice(self.devices): {work: self.rng.randint(0, 6)}}))

    def measure(self):
        device_id = self.rng.choice(self.devices)
        filled = {lease_id: self.rng.randint(0, 12) * GIB for lease_id in self.scheduler.ledger.accounts[device_id].leases}
        self.send(ev.MemoryMeasured(device_id, self.rng.choice([0, 0, 3, 12]) * GIB, filled))

    def quarantine(self):
        device_id = self.rng.choice(self.devices)
        is_in = bool(self.scheduler.ledger.accounts[device_id].quarantine)
        self.send(ev.DeviceRecovered(device_id) if is_in else ev.DeviceQuarantined(device_id, "memory is missing"))

    def lose(self):
        account = self.scheduler.ledger.accounts[self.rng.choice(self.devices)]
        self.send(ev.DeviceLost(account.device.device_id) if account.is_present else ev.DeviceAdded(account.device))

    def drain(self):
        """Bring everything back and end everything; nobody may be left waiting who can ever start."""
        for device_id in self.devices:
            account = self.scheduler.ledger.accounts[device_id]
            self.send(ev.DeviceAdded(account.device))
            self.send(ev.DeviceRecovered(device_id))
            self.send(ev.MemoryMeasured(device_id, 0, {}))
            works = {WorkKind.TRAINING: 1, WorkKind.INFERENCE: 3}
            self.send(ev.LimitsChanged({device_id: works}))
        while self.books.holding:
            self.end()
        self.books.compare()


@pytest.mark.parametrize("seed", range(4))
def test_random_load_breaks_no_rule_and_drains_to_the_last_request(seed):
    driver = Driver(seed, devices=2 ** (seed + 1)).drive(1_000)
    assert driver.number > 300
    driver.drain()
    assert not driver.books.waiting, "somebody was never served"
    assert all(account.held_units == 0 for account in driver.scheduler.ledger.accounts.values())


@pytest.mark.long
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("seed", range(20))
def test_200_000_steps_break_no_rule(seed):
    driver = Driver(seed, devices=[1, 2, 3, 8, 64][seed % 5]).drive(10_000)
    driver.drain()
    assert not driver.books.waiting
