"""What is written down of the starts and ends of the service's parts, and what follows from it."""

import pytest

from actors.part_life import PartLife, PartStart, forget_lives, note_end, note_start, read_life
from actors.presence import announce, find
from tests.small_disk import fill_up, small_disk


def begin(state_dir, *instants):
    for pid, at in enumerate(instants, start=100):
        note_start(state_dir, "part", pid=pid, at=at)


def test_the_first_start_is_no_restart(tmp_path):
    begin(tmp_path, 1000.0)
    life = read_life(tmp_path, "part")
    assert (life.last_started_at, life.restarts(1001.0), life.describe(1001.0)) == (1000.0, 0, "")


def test_restarts_count_for_ten_minutes(tmp_path):
    begin(tmp_path, 0.0, 1000.0, 1300.0, 1599.0)
    life = read_life(tmp_path, "part")
    assert [life.restarts(now) for now in (1600.0, 1601.0, 1901.0, 2200.0)] == [3, 2, 1, 0]
    assert [life.is_looping(now) for now in (1600.0, 1601.0)] == [True, False]


def test_why_the_watchdog_ended_it_is_told_with_its_restarts(tmp_path):
    begin(tmp_path, 0.0, 10.0)
    note_end(tmp_path, "part", pid=100, at=9.0, reason="ended by the watchdog: silent for 10 s")
    note_end(tmp_path, "part", pid=7, at=9.5, reason="another process")
    assert read_life(tmp_path, "part").describe(11.0) == (
        "restarted once in the last 10 minutes; ended by the watchdog: silent for 10 s"
    )


def test_the_reason_of_an_older_end_is_not_told_as_that_of_the_last(tmp_path):
    begin(tmp_path, 0.0, 10.0)
    note_end(tmp_path, "part", pid=100, at=9.0, reason="ended by the watchdog: silent for 10 s")
    note_start(tmp_path, "part", pid=102, at=20.0)
    assert read_life(tmp_path, "part").describe(21.0) == "restarted 2 times in the last 10 minutes"


def test_when_a_process_was_ended_is_known_until_another_takes_its_place(tmp_path):
    begin(tmp_path, 0.0)
    note_end(tmp_path, "part", pid=100, at=9.0, reason="ended by the watchdog: silent for 10 s")
    assert read_life(tmp_path, "part").ended_at == 9.0
    note_start(tmp_path, "part", pid=101, at=10.0)
    assert read_life(tmp_path, "part").ended_at is None


def test_only_the_last_starts_are_kept_and_still_count_as_restarts(tmp_path):
    begin(tmp_path, *map(float, range(50)))
    life = read_life(tmp_path, "part")
    assert (len(life.starts), life.starts[-1].number, life.restarts(50.0)) == (20, 50, 20)


def test_a_new_service_begins_anew(tmp_path):
    begin(tmp_path, 1.0, 2.0)
    forget_lives(tmp_path)
    assert read_life(tmp_path, "part") == PartLife()


def test_notes_that_cannot_be_read_are_as_good_as_none(tmp_path):
    begin(tmp_path, 1.0)
    (tmp_path / "run/starts/part.json").write_text('[{"what": 1}]')
    assert read_life(tmp_path, "part") == PartLife()


def test_who_announces_itself_has_begun(tmp_path):
    first, _second = announce(tmp_path, "part"), announce(tmp_path, "part")
    starts = read_life(tmp_path, "part").starts
    assert [(start.number, start.pid) for start in starts] == [(1, first.pid), (2, first.pid)]


@pytest.mark.parametrize("has_note", [True, False])
def test_a_full_disk_keeps_nobody_from_announcing_itself(tmp_path, has_note):
    with small_disk(tmp_path / "disk", megabytes=1) as disk:
        (disk / "run").mkdir()
        if has_note:
            (disk / "run/part.json").write_text(
                '{"pid": 1, "created": 1.0, "group": 1234567890, "session": 1234567890, "a": [1, 2]}'
            )
        fill_up(disk)
        presence = announce(disk, "part")
        assert find(disk, "part") == (presence if has_note else None)
        assert [path.name for path in (disk / "run").iterdir() if path.name.startswith(".")] == []


def test_a_life_without_notes_tells_nothing():
    assert (PartLife().last_started_at, PartLife().restarts(1.0)) == (None, 0)
    assert PartLife((PartStart(1, 5.0, 1),)).last_started_at == 5.0
