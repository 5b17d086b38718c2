"""Which replicas count as restarts of the predictor."""

import os

import pytest

from actors.core.model import DeviceKind
from actors.messages import ReplicaReport, ReplicaStanding
from actors.names import PREDICTOR
from actors.part_life import read_life
from actors.presence import Presence, own_presence
from cluster.replica_notes import ReplicaNotes

#: A process that is no more, and one that lives.
DEAD = Presence(os.getpid(), 1.0)


class Replicas:
    """The notes, and what the accountant tells at every look."""

    def __init__(self, state_dir):
        self.state_dir = state_dir
        self.begin_anew()

    def begin_anew(self):
        self.notes = ReplicaNotes(self.state_dir)

    def look(self, now, *names, presence=DEAD):
        reports = [ReplicaReport(name, "node", DeviceKind.CPU, 0, presence, 0, 0) for name in names]
        self.notes.look([ReplicaStanding(each, "cpu:0", now) for each in reports], now=now)

    def restarts(self, now):
        return read_life(self.state_dir, PREDICTOR).restarts(now)


@pytest.fixture
def replicas(tmp_path):
    return Replicas(tmp_path)


def test_a_replica_in_a_crash_loop_is_seen_beside_one_that_is_well(replicas):
    replicas.look(100, "well", "r0")
    for number in range(1, 4):
        replicas.look(100 + 20 * number, "well")
        replicas.look(110 + 20 * number, "well", f"r{number}")
    assert replicas.restarts(200) == 3
    assert read_life(replicas.state_dir, PREDICTOR).is_looping(200)


def test_replicas_that_are_started_for_more_load_are_no_restarts(replicas):
    replicas.look(100, "r0")
    replicas.look(110, "r0", "r1")
    replicas.look(120, "r0", "r1", "r2")
    assert replicas.restarts(120) == 0


def test_one_that_is_started_long_after_another_was_ended_is_no_restart(replicas):
    replicas.look(100, "r0", "r1")
    replicas.look(110, "r0")
    replicas.look(300, "r0", "r2")
    assert replicas.restarts(300) == 0


def test_each_end_is_followed_by_one_restart_at_most(replicas):
    replicas.look(100, "r0", "r1")
    replicas.look(110, "r0")
    replicas.look(120, "r0", "r2", "r3")
    assert replicas.restarts(120) == 1


def test_those_that_a_new_accountant_does_not_know_yet_have_not_died(replicas):
    replicas.look(100, "r0", presence=own_presence())
    replicas.look(101)
    replicas.look(102, "r0", "r1", presence=own_presence())
    assert replicas.restarts(102) == 0


def test_replicas_of_another_machine_that_come_back_are_not_new(replicas):
    replicas.look(100, "r0", "r1")
    replicas.look(101)
    replicas.look(102, "r0")
    replicas.look(103, "r0", "r1")
    assert replicas.restarts(103) == 0


def test_a_watchdog_that_begins_anew_counts_nobody_twice(replicas):
    replicas.look(100, "r0")
    replicas.begin_anew()
    replicas.look(110, "r0", "r1")
    assert replicas.restarts(110) == 0


def test_why_the_last_was_ended_is_told(replicas):
    replicas.look(100, "r0")
    report = ReplicaReport("r0", "node", DeviceKind.CPU, 0, DEAD, 0, 0)
    replicas.notes.note_ended([report], "ended by the watchdog: silent for 10 s", now=101)
    replicas.look(102)
    replicas.look(103, "r1")
    assert (
        read_life(replicas.state_dir, PREDICTOR)
        .describe(104)
        .endswith("once in the last 10 minutes; ended by the watchdog: silent for 10 s")
    )
