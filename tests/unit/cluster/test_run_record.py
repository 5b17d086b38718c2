"""What a running service notes down, and the lock of its state folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from actors.presence import Presence, own_presence
from cluster.run_record import ServiceRecord, StateFolderBusyError, locked, read_record, remove_record, write_record

HOLD_LOCK = """import sys, pathlib
from cluster.run_record import locked
with locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def make_record(**changes: object) -> ServiceRecord:
    fields = {
        "url": "http://127.0.0.1:8000/",
        "started_at": 1.5,
        "keeper": own_presence(),
        "head": Presence(7, 2.5),
        "ray_address": "10.0.0.1:6379",
        "dashboard_url": "http://127.0.0.1:8265",
        "token_path": "/state/ray_token",
        "temp_dir": "/tmp/rfuav-abc",
        "started_serve": True,
        "processes": (Presence(7, 2.5), Presence(8, 3.25)),
    }
    return ServiceRecord(**(fields | changes))


@pytest.mark.parametrize("changes", [{}, {"head": None, "token_path": "", "processes": ()}])
def test_a_record_is_read_as_it_was_written(tmp_path: Path, changes):
    record = make_record(**changes)
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    remove_record(tmp_path)
    assert read_record(tmp_path) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"url": "x", "keeper": {"pid": 1}}'])
def test_a_damaged_record_counts_as_none(tmp_path: Path, content):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "service.json").write_text(content)
    assert read_record(tmp_path) is None


def test_a_service_is_kept_while_its_keeper_and_its_ray_live():
    gone = Presence(own_presence().pid, 0.0)
    assert make_record(head=own_presence()).is_kept
    assert make_record(head=None).is_kept
    assert not make_record(keeper=gone, head=own_presence()).is_kept
    assert not make_record(head=gone).is_kept


def test_a_record_without_a_head_is_of_an_adopted_ray():
    assert make_record(head=None).is_adopted
    assert not make_record().is_adopted


def test_the_lock_keeps_others_out_and_ends_with_its_holder(tmp_path: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StateFolderBusyError, match=str(tmp_path)), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass
