"""Processes are found by the variable that they were started with, their children too, and no others."""

import os
import subprocess
import sys
from uuid import uuid4

import pytest

from actors.process_mark import find_marked, leaders

PARENT = "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print(child.pid, flush=True); child.wait()"


@pytest.fixture
def family():
    """A marked process with a child; yields the mark and the two pids."""
    mark = uuid4().hex
    environ = {**os.environ, "RFUAV_TEST_MARK": mark}
    with subprocess.Popen([sys.executable, "-c", PARENT], env=environ, stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        yield mark, parent.pid, child
        for process in find_marked("RFUAV_TEST_MARK", mark):
            process.kill()


def test_a_process_and_its_children_are_found(family):
    mark, parent, child = family
    assert {process.pid for process in find_marked("RFUAV_TEST_MARK", mark)} == {parent, child}


def test_the_leader_is_the_one_that_no_marked_process_started(family):
    mark, parent, _ = family
    assert [presence.pid for presence in leaders(find_marked("RFUAV_TEST_MARK", mark))] == [parent]


def test_the_beginning_of_a_mark_is_another_mark(family):
    mark, *_ = family
    assert find_marked("RFUAV_TEST_MARK", mark[:-1]) == []
