"""How many decisions a second the scheduler core makes, and what a decision costs as the line grows.

A decision is one request or one release that changes state, its commands consumed, arrivals and endings one to one, with every
device at its limits. Prints decisions a second with 10,000 waiting on 1,000 devices, and the cost per decision from 100 to 100,000 waiting.
"""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from math import log2
from statistics import median
from time import perf_counter

from actors.core import events as ev
from actors.core.durations import DurationKey
from actors.core.model import GIB, DeviceKind, LeaseRequest, Policy, WorkKind
from actors.core.scheduler import Scheduler
from tests.unit.core.factories import make_gpu

#: Makes the request with a number, for so many devices.
Maker = Callable[[int, int, random.Random], LeaseRequest]


def fill(devices: int, waiting: int, rng: random.Random, make: Maker) -> tuple[Scheduler, deque, list]:
    """A scheduler with every device at its limits and so many waiting; returns it, the held leases, and the number of the next."""
    scheduler = Scheduler(Policy())
    for index in range(devices):
        scheduler.handle(ev.DeviceAdded(make_gpu(index, node=f"node-{index // 8}")), now=0.0)
    held: deque = deque()
    number = 0
    while len(scheduler.line) < waiting:
        for command in scheduler.handle(ev.LeaseRequested(make(number, devices, rng)), now=float(number)):
            if isinstance(command, ev.Grant):
                held.append(command.lease)
        number += 1
    return scheduler, held, [number]


def make(number: int, devices: int, rng: random.Random) -> LeaseRequest:
    work = WorkKind.TRAINING if rng.random() < 0.25 else WorkKind.INFERENCE
    selector = "cuda" if rng.random() < 0.5 else f"cuda:{rng.randrange(devices)}"
    return LeaseRequest(f"r{number}", f"t{number}", work, selector, rng.randint(1, 10), float(number))


def drive(scheduler: Scheduler, held: deque, counter: list, devices: int, decisions: int, rng: random.Random, make: Maker) -> float:
    """Make so many decisions, half of them requests and half releases; returns seconds."""
    requests = [make(counter[0] + step, devices, rng) for step in range(decisions // 2)]
    counter[0] += len(requests)
    now = float(counter[0])
    begin = perf_counter()
    for request in requests:
        for command in scheduler.handle(ev.LeaseRequested(request), now=now):
            if type(command) is ev.Grant:
                held.append(command.lease)
        lease = held.popleft()
        scheduler.handle(ev.LeaseReleased(lease.lease_id, lease.token), now=now)
        for command in scheduler.handle(ev.HolderGone(lease.lease_id), now=now):
            if type(command) is ev.Grant:
                held.append(command.lease)
    return perf_counter() - begin


def measure(devices: int, waiting: int, decisions: int = 20_000) -> float:
    """Median seconds per decision of five runs."""
    rng = random.Random(7)
    scheduler, held, counter = fill(devices, waiting, rng, make)
    costs = [drive(scheduler, held, counter, devices, decisions, rng, make) / decisions for _ in range(5)]
    scheduler.validate()
    return median(costs)


def measure_mixed(devices: int, waiting: int, decisions: int = 10_000) -> float:
    """The same on nodes of 8, where one request in fifty is a gang and every third brings a budget or may be preempted."""
    rng = random.Random(7)
    plain = make

    def mixed(number: int, count: int, rng: random.Random) -> LeaseRequest:
        request = plain(number, count, rng)
        if rng.random() < 0.02:
            return replace(request, work=WorkKind.TRAINING, selector="cuda", device_count=2)
        budget = rng.choice([None, None, GIB])
        return replace(request, memory_bytes=budget, preemptible=rng.random() < 0.1, profile=rng.choice(["resnet18", "vgg11"]))

    scheduler, held, counter = fill(devices, waiting, rng, mixed)
    return median(drive(scheduler, held, counter, devices, decisions, rng, mixed) / decisions for _ in range(5))


def measure_explain(waiting: int) -> tuple[float, float]:
    """Median seconds of explaining a waiting request, and one that is not submitted."""
    rng = random.Random(7)
    scheduler, _, counter = fill(100, waiting, rng, make)
    for kind in (WorkKind.TRAINING, WorkKind.INFERENCE):
        scheduler.durations.learn(DurationKey(DeviceKind.GPU, kind, ""), 60.0)
    ids = rng.sample(sorted(scheduler.line.waiting), 200)
    why, draft = [], []
    for number, request_id in enumerate(ids):
        begin = perf_counter()
        scheduler.explain(request_id, now=1e6)
        why.append(perf_counter() - begin)
        request = make(counter[0] + number, 100, rng)
        begin = perf_counter()
        scheduler.explain_draft(request, now=1e6)
        draft.append(perf_counter() - begin)
    return median(why), median(draft)


def main() -> None:
    cost = measure(1_000, 10_000)
    print(f"10,000 waiting, 1,000 devices at their limits: {1 / cost:,.0f} decisions a second ({cost * 1e6:.1f} us each)")
    cost = measure_mixed(1_000, 10_000)
    print(f"the same with gangs, budgets and preemptible work: {1 / cost:,.0f} decisions a second ({cost * 1e6:.1f} us each)")
    why, draft = measure_explain(10_000)
    print(f"10,000 waiting: explaining one takes {why * 1e3:.2f} ms, one that is not submitted {draft * 1e3:.2f} ms")
    base = None
    for waiting in (100, 1_000, 10_000, 100_000):
        cost = measure(100, waiting)
        base = base or (cost, log2(waiting))
        growth, bound = cost / base[0], log2(waiting) / base[1]
        print(
            f"{waiting:>7} waiting, 100 devices: {cost * 1e6:6.1f} us a decision, {growth:.2f} times the first (log n: {bound:.2f})"
        )


if __name__ == "__main__":
    main()
