"""Which faults strike a service, in which order and after which pauses: drawn from a seed, so that a run can be repeated."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

#: The parts that are one process each, and those of which there are several.
SINGLE_PARTS = ("accountant", "supervisor", "log_hub", "ingress")
PARTS = (*SINGLE_PARTS, "attempt", "replica")
#: Faults to these may be felt by whoever asks for a prediction; the joined node has a replica.
ONLINE_PARTS = frozenset({"ingress", "replica", "node"})
#: Whom a full disk meets at its beginning, beside those that run: a part that begins anew while it is full.
DISK_VICTIMS = ("", "supervisor", "accountant")
#: The shortest and the longest time between a fault and the next, and how long the disk stays full.
PAUSES_S = (2.0, 8.0)
FULL_S = (3.0, 6.0)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        number: its place in the plan, from 1.
        kind: "kill" (SIGKILL), "stop" (SIGSTOP), "lose" (a node) or "fill" (a disk).
        part: what it happens to.
        pause_s: how long after the fault before.
        choice: which one of several, from 0 up to 1.
        lasts_s: how long the disk stays full; 0 for what nobody ends.
        victim: the part that is killed while the disk is full; "" for none.
    """

    number: int
    kind: str
    part: str
    pause_s: float
    choice: float
    lasts_s: float = 0.0
    victim: str = ""

    def __str__(self) -> str:
        more = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        more += f", killing the {self.victim} meanwhile" if self.victim else ""
        return f"{self.number:2d}. after {self.pause_s:.1f} s {self.kind} {self.part}{more}"


def draw_faults(seed: int, count: int, *, with_disk: bool = True) -> list[Fault]:
    """Draw a plan: every fault once in an order of chance, then every one again in another.

    Args:
        seed: of the order, the pauses and the choices.
        count: how many faults.
        with_disk: whether there is a small disk that can be filled.
    """
    rng = random.Random(seed)
    deck = _deal(rng, with_disk=with_disk)
    faults = []
    for number in range(1, count + 1):
        kind, part = next(deck)
        is_disk = kind == "fill"
        # Every number is drawn for every fault, so that a plan without the disk has the same pauses.
        pause_s, choice, lasts_s, victim = rng.uniform(*PAUSES_S), rng.random(), rng.uniform(*FULL_S), rng.choice(DISK_VICTIMS)
        faults.append(Fault(number, kind, part, pause_s, choice, lasts_s if is_disk else 0.0, victim if is_disk else ""))
    return faults


def _deal(rng: random.Random, *, with_disk: bool) -> Iterator[tuple[str, str]]:
    """All kinds of fault, shuffled, for ever."""
    deck = [(kind, part) for kind in ("kill", "stop") for part in PARTS] + [("lose", "node")]
    deck += [("fill", "disk")] if with_disk else []
    while True:
        yield from rng.sample(deck, len(deck))
