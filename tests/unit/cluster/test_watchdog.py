"""Which silent part the watchdog ends, on a clock that the test owns."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest

from actors.core.model import DeviceKind
from actors.messages import ReplicaReport, ReplicaStanding
from actors.part_life import read_life
from actors.presence import Presence
from cluster import watchdog
from cluster.ports import find_free_port
from cluster.service_errors import NoAnswerError
from cluster.watchdog import ReplicaWatch, Watch, _end_silent, _ping_ingress

BORN = 0.0


@pytest.fixture
def watch() -> Watch:
    return Watch(["hub", "ingress"], silence_s=10, start_s=30, now=100)


def look_each_second(watch: Watch, begin: int, end: int, started_at: dict[str, float]) -> list[tuple[int, str]]:
    """Look at every second after ``begin`` up to ``end``; who was found silent, and when."""
    return [(now, part) for now in range(begin + 1, end + 1) for part in watch.look(started_at, now=now)]


def test_a_part_that_answers_is_left_alone(watch):
    for now in range(101, 200):
        watch.heard("hub", now=now)
        assert watch.look({"hub": BORN}, now=now) == []


def test_a_silent_part_is_named_after_its_time_and_the_other_is_not(watch):
    for now in range(101, 111):
        watch.heard("ingress", now=now)
        assert watch.look({"hub": BORN, "ingress": BORN}, now=now) == []
    watch.heard("ingress", now=111)
    assert watch.look({"hub": BORN, "ingress": BORN}, now=111) == ["hub"]


def test_a_part_that_everybody_waits_on_is_named_sooner():
    watch = Watch(["hub", "ingress"], silence_s=10, start_s=30, now=100, sooner_s={"ingress": 5})
    assert look_each_second(watch, 100, 111, {"hub": BORN, "ingress": BORN}) == [(106, "ingress"), (111, "hub")]
    assert look_each_second(watch, 111, 137, {"ingress": BORN}) == [(137, "ingress")]


def test_a_part_without_a_process_is_not_judged(watch):
    assert look_each_second(watch, 100, 200, {}) == []


def test_a_new_process_has_the_longer_time_of_a_start(watch):
    assert look_each_second(watch, 100, 150, {"hub": 105}) == [(136, "hub")]


def test_a_new_process_that_has_answered_is_judged_by_its_answers(watch):
    assert look_each_second(watch, 100, 110, {"hub": 105}) == []
    watch.heard("hub", now=110)
    assert look_each_second(watch, 110, 130, {"hub": 105}) == [(121, "hub")]


def test_an_ended_part_is_not_named_again_while_it_starts(watch):
    assert look_each_second(watch, 100, 141, {"hub": BORN}) == [(111, "hub")]
    assert look_each_second(watch, 141, 142, {"hub": BORN}) == [(142, "hub")]


def test_time_in_which_the_watch_itself_slept_counts_against_nobody(watch):
    watch.heard("hub", now=101)
    assert watch.look({"hub": BORN}, now=101) == []
    assert watch.look({"hub": BORN}, now=4000) == []
    assert look_each_second(watch, 4000, 4020, {"hub": BORN}) == [(4011, "hub")]


@pytest.fixture
def sleeper():
    """A process that only its own end ends."""
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    yield process
    process.kill()
    process.wait()


def standing(process: subprocess.Popen, heard_at: float) -> ReplicaStanding:
    presence = Presence(process.pid, psutil.Process(process.pid).create_time())
    return ReplicaStanding(ReplicaReport("r1", "node", DeviceKind.GPU, 0, presence, 0, 0), "cuda:0", heard_at)


def test_a_replica_that_goes_on_reporting_is_left_alone(sleeper):
    watch = ReplicaWatch(now=100, end_elsewhere=pytest.fail)
    for now in range(100, 140, 2):
        watch.look([standing(sleeper, heard_at=now)], now=now)
    assert sleeper.poll() is None


def test_a_replica_that_lives_and_has_stopped_to_report_is_ended(sleeper):
    watch = ReplicaWatch(now=100, end_elsewhere=pytest.fail)
    for now in range(100, 111, 2):
        watch.look([standing(sleeper, heard_at=100)], now=now)
    assert sleeper.poll() is None
    watch.look([standing(sleeper, heard_at=100)], now=112)
    assert sleeper.wait(10) == -9


def test_a_silent_replica_that_a_new_accountant_never_heard_is_ended_too(sleeper):
    watch = ReplicaWatch(now=100, end_elsewhere=pytest.fail)
    watch.look([standing(sleeper, heard_at=100)], now=100)
    for now in range(102, 113, 2):
        watch.look([], now=now)
    assert sleeper.wait(10) == -9


def test_a_silent_replica_of_another_machine_is_ended_there_once(sleeper):
    ended = []
    watch = ReplicaWatch(now=100, end_elsewhere=ended.append)
    there = replace(standing(sleeper, heard_at=100).report, presence=Presence(sleeper.pid, 1.0))
    watch.look([ReplicaStanding(there, "cuda:1", 100)], now=100)
    for now in range(102, 140, 2):
        watch.look([], now=now)
    assert ended == [there]
    assert sleeper.poll() is None


def test_while_the_accountant_does_not_answer_no_replica_is_judged(sleeper):
    watch = ReplicaWatch(now=100, end_elsewhere=pytest.fail)
    watch.look([standing(sleeper, heard_at=100)], now=100)
    watch.look([standing(sleeper, heard_at=100)], now=130)
    assert sleeper.poll() is None


def test_a_process_that_was_kept_ready_has_the_time_of_a_start_from_when_it_became_the_part(sleeper, tmp_path):
    born = psutil.Process(sleeper.pid).create_time()
    (tmp_path / "run").mkdir()
    note = tmp_path / "run/hub.json"
    note.write_text(json.dumps({"pid": sleeper.pid, "created": born}))
    os.utime(note, (born + 6, born + 6))
    watch = Watch(["hub"], silence_s=10, start_s=30, now=born)
    _end_silent(watch, tmp_path, ["hub"], now=born + 4)
    watch.heard("hub", now=born + 5)  # the process before it
    for later_s in range(8, 36, 4):
        _end_silent(watch, tmp_path, ["hub"], now=born + later_s)
    assert sleeper.poll() is None
    _end_silent(watch, tmp_path, ["hub"], now=born + 37)
    assert sleeper.wait(10) == -9


def test_why_a_part_was_ended_is_noted_for_those_who_ask(sleeper, tmp_path):
    born = psutil.Process(sleeper.pid).create_time()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/hub.json").write_text(json.dumps({"pid": sleeper.pid, "created": born}))
    watch = Watch(["hub"], silence_s=10, start_s=30, now=born)
    watch.heard("hub", now=born + 1)
    for later_s in (4, 8, 12):
        _end_silent(watch, tmp_path, ["hub"], now=born + later_s)
    assert sleeper.wait(10) == -9
    (end,) = read_life(tmp_path, "hub").ends
    assert (end.pid, end.reason) == (sleeper.pid, "ended by the watchdog: silent for 10 s")


def test_nobody_behind_a_haproxy_that_is_gone_is_called_silent():
    nowhere = f"http://127.0.0.1:{find_free_port('127.0.0.1')}/"
    assert _ping_ingress(nowhere, is_behind_haproxy=True) is None
    with pytest.raises(NoAnswerError):
        _ping_ingress(nowhere, is_behind_haproxy=False)


def test_behind_a_haproxy_one_that_takes_connections_and_says_nothing_is_silent(monkeypatch):
    monkeypatch.setattr(watchdog, "_PING_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(NoAnswerError):
        _ping_ingress(f"http://127.0.0.1:{mute.getsockname()[1]}/", is_behind_haproxy=True)
