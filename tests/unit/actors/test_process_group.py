"""Groups of real processes: a leader, what it starts, and their ends."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace

import psutil
import pytest

from actors.presence import Presence, own_presence
from actors.process_group import find_members, kill, kill_members, wait_and_sweep, wait_until_gone

#: Deaf to SIGTERM and SIGHUP.
DEAF = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (15, 1)]; print('here', flush=True); signal.pause()"
#: Leads a group with two deaf children; ends them but for itself when it is told to.
LEADER = f"""import signal, subprocess, sys
from actors.presence import own_presence
from actors.process_group import kill_members, lead_own_group
lead_own_group()
lead_own_group()
children = [subprocess.Popen([sys.executable, "-c", {DEAF!r}], stdout=subprocess.PIPE, text=True) for _ in range(2)]
assert all(child.stdout.readline() == "here\\n" for child in children)
own = own_presence()
print(own.pid, own.created, own.group, own.session, *(child.pid for child in children), flush=True)
if sys.stdin.readline():
    kill_members(own)
    print([child.wait() for child in children], flush=True)
signal.pause()
"""


@pytest.fixture
def leader():
    """The leader's process, its presence and its children's pids."""
    process = subprocess.Popen([sys.executable, "-c", LEADER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pid, created, group, session, *children = process.stdout.readline().split()
    yield process, Presence(int(pid), float(created), int(group), int(session)), [int(child) for child in children]
    for each in (process.pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
    process.communicate()


def is_alive(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def within(seconds, work):
    await asyncio.wait_for(work, seconds)


def test_a_leader_keeps_its_session_and_its_group_has_its_number(leader):
    process, presence, children = leader
    assert (presence.group, presence.session) == (process.pid, os.getsid(0))
    assert sorted(member.pid for member in find_members(presence)) == sorted(children)


def test_who_leads_no_group_has_no_members():
    assert find_members(replace(own_presence(), group=0)) == []


def test_a_killed_leader_is_not_gone_before_its_children_are(leader):
    process, presence, children = leader

    async def scenario():
        gone = asyncio.create_task(wait_until_gone(presence))
        process.kill()
        with pytest.raises(TimeoutError):
            await within(0.3, asyncio.shield(gone))
        for child in children:
            os.kill(child, signal.SIGKILL)
        await within(10, gone)

    asyncio.run(scenario())


def test_what_a_killed_leader_leaves_behind_is_ended_even_if_it_is_deaf(leader):
    process, presence, children = leader
    process.kill()
    asyncio.run(within(10, wait_and_sweep(presence, grace_s=0.1)))
    assert not any(map(is_alive, children))


def test_a_sweep_leaves_a_living_leader_alone(leader):
    _process, presence, children = leader
    with pytest.raises(TimeoutError):
        asyncio.run(within(0.3, wait_and_sweep(presence, grace_s=0.0)))
    assert all(map(is_alive, [presence.pid, *children]))


@pytest.mark.parametrize("is_leader_dead", [False, True])
def test_killing_ends_the_whole_group(leader, is_leader_dead):
    process, presence, children = leader
    if is_leader_dead:
        process.kill()
        process.wait()
    kill(presence)
    asyncio.run(within(10, wait_until_gone(presence)))
    assert not any(map(is_alive, [presence.pid, *children]))


def test_a_leader_can_end_its_group_and_live(leader):
    process, presence, _children = leader
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "[-9, -9]\n"
    assert is_alive(presence.pid)


def test_a_group_of_another_session_or_a_later_process_is_not_touched(leader):
    _process, presence, children = leader
    for stranger in (replace(presence, session=1), replace(presence, created=presence.created - 100, session=presence.session)):
        assert stranger.session == 1 or stranger.process() is None
        assert find_members(stranger) == []
    kill(replace(presence, created=presence.created - 100))
    kill_members(replace(presence, session=1))
    assert all(map(is_alive, [presence.pid, *children]))


def test_the_group_takes_no_part_in_who_a_process_is():
    assert Presence(1, 2.0) == Presence(1, 2.0, 1, 1)
