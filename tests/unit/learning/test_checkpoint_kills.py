"""Whenever the writer of a checkpoint is killed, it leaves one that can be loaded, never older than the last but one."""

import json
import subprocess
import sys

import pytest


def run(*arguments):
    """Let writers be killed in a process of its own, which has one thread and so can be forked; returns what became of them."""
    call = [sys.executable, "-m", "tests.unit.learning.checkpoint_kills", *map(str, arguments)]
    ended = subprocess.run(call, capture_output=True, text=True, check=False, timeout=250)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.long)])
def test_a_writer_that_is_killed_at_any_moment_leaves_a_loadable_checkpoint(kills, tmp_path):
    told = run(tmp_path, "random", "--kills", kills, "--seed", kills)
    assert told["within_a_write"] >= kills / 2, told
    assert told["checkpoints"] > 3


def test_a_writer_that_is_killed_at_any_step_leaves_a_loadable_checkpoint(tmp_path):
    told = run(tmp_path, "steps")
    assert set(told) == {"0", "1", "2", "damaged", "foreign"}
    # Only where the last one was damaged before is the one before it ever needed.
    assert {name for name, each in told.items() if "previous.ckpt" in each} == {"damaged"}, told
    assert all(each["steps"] >= 12 for each in told.values()), told
