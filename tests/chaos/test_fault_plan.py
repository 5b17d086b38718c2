"""The plan of faults is the same for the same seed, and leaves out none."""

from tests.chaos.fault_plan import PARTS, draw_faults

EVERY = {(kind, part) for kind in ("kill", "stop") for part in PARTS} | {("lose", "node"), ("fill", "disk")}


def kinds(faults):
    return [(fault.kind, fault.part) for fault in faults]


def test_a_seed_gives_one_plan_and_another_seed_another():
    assert draw_faults(1, 30) == draw_faults(1, 30)
    assert draw_faults(1, 30) != draw_faults(2, 30)
    assert draw_faults(1, 30)[:8] == draw_faults(1, 8)


def test_every_fault_comes_once_before_one_comes_again():
    drawn = kinds(draw_faults(3, 4 * len(EVERY)))
    for first in range(0, len(drawn), len(EVERY)):
        assert set(drawn[first : first + len(EVERY)]) == EVERY


def test_without_a_small_disk_none_is_filled():
    assert set(kinds(draw_faults(3, 60, with_disk=False))) == EVERY - {("fill", "disk")}
