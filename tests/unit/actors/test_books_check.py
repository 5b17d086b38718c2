"""The comparison of the ledger with Ray and the processes, on pictures that the tests paint."""

import os

from actors.books_check import BookedDevice, BookedServing, Picture, RayBooks, compare
from actors.core.model import DeviceKind
from actors.lease_store import LeaseHolder, StoredLease
from actors.presence import Presence, own_presence
from tests.unit.core.factories import make_request, make_scheduler, must_grant

NODE = "node"


def picture(*, held, bound, holders=(), is_ending=False):
    lease = must_grant(make_scheduler(), make_request("task.1", task_id="task"))
    device = BookedDevice("cuda:0", "GPU_group_0_x", 1.0, share_units=7_500, bound_units=bound, held_units=held)
    return Picture((StoredLease(lease, NODE, is_ending, tuple(LeaseHolder(NODE, each) for each in holders)),), (device,), NODE)


def ray_books(used, *attempts):
    return RayBooks({"GPU_group_0_x": (7_500 - used) / 10_000}, frozenset(attempts))


def subjects(a_picture, books):
    return [difference.subject for difference in compare(a_picture, books)]


def test_books_that_say_the_same_have_no_difference():
    assert subjects(picture(held=1_500, bound=1_500, holders=[own_presence()]), ray_books(1_500, "task.1")) == []


def test_a_process_that_is_still_coming_up_is_none():
    assert subjects(picture(held=1_500, bound=0), ray_books(0)) == []
    assert subjects(picture(held=1_500, bound=0), ray_books(1_500, "task.1")) == []


def test_units_that_only_ray_counts_are_one_and_so_are_those_that_only_the_ledger_counts():
    assert subjects(picture(held=1_500, bound=0), ray_books(3_000)) == ["cuda:0"]
    assert subjects(picture(held=1_500, bound=1_500, holders=[own_presence()]), ray_books(0, "task.1")) == ["cuda:0"]


def test_a_lease_whose_process_is_gone_is_one_but_not_while_it_ends():
    gone = Presence(os.getpid(), created=1.0)
    assert subjects(picture(held=1_500, bound=1_500, holders=[gone]), ray_books(1_500)) == ["lease lease-1 of task"]
    assert subjects(picture(held=1_500, bound=0, holders=[gone], is_ending=True), ray_books(0)) == []


def test_an_attempt_without_a_lease_is_one_and_a_rank_of_a_gang_is_not():
    assert subjects(picture(held=1_500, bound=0), ray_books(0, "stray.2", "task.1.rank1")) == ["process stray.2"]


def serving_subjects(*reported, in_ray, used, kind=DeviceKind.GPU, cores=1.0):
    serving = BookedServing(NODE, kind, cores, serving_units=5_000, replica_units=1_250, replica_ids=frozenset(reported))
    free = {(NODE, "GPU" if kind is DeviceKind.GPU else "CPU"): (5_000 - used) / 10_000 * cores}
    books = RayBooks({}, frozenset(), free, frozenset(in_ray))
    return [difference.subject.partition(" of ")[0] for difference in compare(Picture((), (), NODE, (serving,)), books)]


def test_replicas_that_ray_counts_too_are_no_difference_nor_is_one_that_is_coming_up():
    assert serving_subjects("a", "b", in_ray=["a", "b"], used=2_500) == []
    assert serving_subjects("a", in_ray=["a", "b"], used=2_500) == []
    assert serving_subjects("a", in_ray=["a", "b"], used=1_250) == []


def test_a_replica_that_only_speaks_or_is_not_counted_is_a_difference():
    assert serving_subjects("a", "b", in_ray=["a"], used=2_500) == ["replica b", "serving share"]
    assert serving_subjects("a", "b", in_ray=["a", "b"], used=1_250) == ["serving share"]


def test_what_others_take_of_a_gpus_serving_share_is_a_difference_and_of_a_cpus_it_is_not():
    assert serving_subjects("a", in_ray=["a"], used=2_500) == ["serving share"]
    assert serving_subjects("a", in_ray=["a"], used=2_500, kind=DeviceKind.CPU, cores=8.0) == []
    assert serving_subjects("a", in_ray=["a"], used=0, kind=DeviceKind.CPU, cores=8.0) == ["serving share"]
