"""How many decisions a second the scheduler core makes, and what a decision costs as the line grows.

A decision is one request or one release that changes state, its commands consumed, arrivals and endings one to one, with every
device at its limits. Prints decisions a second with 10,000 waiting on 1,000 devices, and the cost per decision from 100 to 100,000 waiting.
"""

import random
from collections import deque
from math import log2
from statistics import median
from time import perf_counter

from actors.core import events as ev
from actors.core.model import LeaseRequest, Policy, WorkKind
from actors.core.scheduler import Scheduler
from tests.unit.core.factories import make_gpu


def fill(devices: int, waiting: int, rng: random.Random) -> tuple[Scheduler, deque, list]:
    """A scheduler with every device at its limits and so many waiting; returns it, the held leases, and a request maker."""
    scheduler = Scheduler(Policy())
    for index in range(devices):
        scheduler.handle(ev.DeviceAdded(make_gpu(index)), now=0.0)
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


def drive(scheduler: Scheduler, held: deque, counter: list, devices: int, decisions: int, rng: random.Random) -> float:
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
    scheduler, held, counter = fill(devices, waiting, rng)
    costs = [drive(scheduler, held, counter, devices, decisions, rng) / decisions for _ in range(5)]
    scheduler.validate()
    return median(costs)


def main() -> None:
    cost = measure(1_000, 10_000)
    print(f"10,000 waiting, 1,000 devices at their limits: {1 / cost:,.0f} decisions a second ({cost * 1e6:.1f} us each)")
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
