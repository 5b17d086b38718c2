import os
import subprocess
import sys
import threading

import psutil

from actors.presence import Presence, announce, find, own_presence


def test_an_announced_part_can_be_found(tmp_path):
    presence = announce(tmp_path, "part")
    assert find(tmp_path, "part") == presence
    assert presence.process().pid == os.getpid()
    assert find(tmp_path, "other") is None


def test_a_note_that_cannot_be_read_is_as_good_as_none(tmp_path):
    announce(tmp_path, "part")
    (tmp_path / "run/part.json").write_text("{")
    assert find(tmp_path, "part") is None


def test_a_later_process_with_the_same_pid_is_another_one():
    own = own_presence()
    assert Presence(own.pid, own.created - 100).process() is None


def test_a_process_that_ended_is_gone_even_before_it_is_reaped():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    presence = Presence(child.pid, psutil.Process(child.pid).create_time())
    assert presence.process() is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert presence.process() is None
    child.wait()


def test_a_process_may_end_at_any_moment_of_the_question():
    for _ in range(60):  # one in two used to raise
        child = subprocess.Popen(["true"])
        presence = Presence(child.pid, psutil.Process(child.pid).create_time())
        reaper = threading.Thread(target=child.wait)
        reaper.start()
        while presence.process() is not None:
            pass
        reaper.join()
