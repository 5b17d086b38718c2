"""The keeper starts its process anew until one ends well, or nothing is left to watch."""

import os
import sys

import pytest

from actors.names import WATCHDOG
from actors.part_life import read_life
from actors.presence import Presence, own_presence
from cluster import watchdog_keeper
from cluster.run_record import ServiceRecord, write_record
from cluster.watchdog_keeper import Keeper, _has_ended

#: Counts its own starts in a file, and does what the test wants at each of them.
PROGRAM = """
import pathlib, signal, sys
count = pathlib.Path(sys.argv[1])
number = int(count.read_text()) + 1 if count.exists() else 1
count.write_text(str(number))
{act}
"""


def keep(tmp_path, act, *, is_over=lambda _deaths: False):
    """Keep a process that does ``act`` until the keeper returns; how often it began."""
    count = tmp_path / "count"
    command = [sys.executable, "-c", PROGRAM.format(act=act), str(count)]
    Keeper(tmp_path, command, look_s=0.05, is_over=is_over).keep()
    return int(count.read_text())


def test_a_process_that_ends_well_ends_the_keeper(tmp_path):
    assert keep(tmp_path, "sys.exit(0)") == 1


def test_a_process_that_dies_is_started_anew(tmp_path):
    assert keep(tmp_path, "sys.exit(0 if number == 3 else 1)") == 3


def test_none_is_started_for_a_service_that_has_ended(tmp_path):
    assert keep(tmp_path, "sys.exit(1)", is_over=lambda _deaths: True) == 1


def test_none_is_started_any_more_after_so_many_deaths_in_a_row(tmp_path):
    assert keep(tmp_path, "sys.exit(1)", is_over=lambda deaths: deaths == 3) == 3


def test_one_that_had_lived_for_long_did_not_die_of_its_start(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog_keeper, "_SOUND_S", 0.0)
    assert keep(tmp_path, "sys.exit(0 if number == 3 else 1)", is_over=lambda deaths: deaths > 0) == 3


@pytest.mark.parametrize(
    ("head", "ends"), [(None, (False, True)), (own_presence(), (False, False)), (Presence(os.getpid(), 1.0), (True, True))]
)
def test_only_deaths_tell_that_the_ray_of_somebody_else_is_gone(tmp_path, head, ends):
    write_record(tmp_path, ServiceRecord("http://127.0.0.1:1/", 1.5, own_presence(), head, "10.0.0.1:6379", "", "", "", False))
    assert (_has_ended(tmp_path, 9), _has_ended(tmp_path, 10)) == ends


def test_what_is_printed_begins_anew_when_it_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog_keeper, "_OUTPUT_BYTES", 100)
    output = tmp_path / "logs/watchdog.out"
    output.parent.mkdir()
    output.write_text("x" * 101)
    keep(tmp_path, "sys.exit(0)")
    assert output.read_text() == ""
    output.write_text("x" * 100)
    keep(tmp_path, "sys.exit(0)")
    assert output.read_text() == "x" * 100


def test_one_that_shows_no_life_is_ended_and_it_is_noted_why(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog_keeper, "_SILENT_LOOKS", 30)
    assert keep(tmp_path, "sys.exit(0) if number == 2 else signal.pause()") == 2
    (end,) = read_life(tmp_path, WATCHDOG).ends
    assert end.reason.startswith("ended by its keeper: no sign of life for")


def test_one_that_shows_life_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(watchdog_keeper, "_SILENT_LOOKS", 6)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/watchdog.json").write_text("{}")
    note = repr(str(tmp_path / "run/watchdog.json"))
    act = f"""
import os, threading
for _ in range(30):
    os.utime({note})
    threading.Event().wait(0.05)
"""
    assert keep(tmp_path, act) == 1
    assert read_life(tmp_path, WATCHDOG).ends == ()
