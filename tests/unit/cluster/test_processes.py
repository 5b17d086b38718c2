"""Finding and ending the processes of one instance, with real processes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from actors.presence import Presence
from cluster.processes import MARK, end_instance, end_processes, find_presences, find_processes, instance_mark, presence_of

#: Says that it runs, then stays until a signal ends it.
STAY = "import signal; print('here', flush=True); signal.pause()"
#: The same, deaf to SIGTERM.
STAY_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + STAY
#: Overwrites its environment, as programs do that set their title.
STAY_UNMARKED = f"import os, sys; os.environ.pop('{MARK}', 0); os.execv(sys.executable, [sys.executable, '-c', {STAY!r}])"
#: Starts a child in the same session and ends, so that the child becomes an orphan.
ORPHAN_MAKER = f"""import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STAY!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""

#: Starts a child and never asks what became of it.
CARELESS_PARENT = f"""import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STAY!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print("here", flush=True)
signal.pause()
"""

Start = Callable[..., psutil.Process]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []
    returned: list[psutil.Process] = []

    def run(code: str, mark: str | None, *, new_session: bool = True) -> psutil.Process:
        environ = {name: value for name, value in os.environ.items() if name != MARK} | ({MARK: mark} if mark else {})
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=new_session,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        returned.append(psutil.Process(int(line) if line.isdigit() else process.pid))
        return returned[-1]

    yield run
    end_processes(returned, grace_s=0)
    for process in started:
        process.kill()
        process.communicate()


def test_folders_have_different_marks_and_links_to_one_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert instance_mark(tmp_path / "a") != instance_mark(tmp_path / "b")
    assert instance_mark(tmp_path / "link") == instance_mark(tmp_path / "a")


def test_marked_processes_are_found_and_others_are_not(start):
    ours, _theirs, _nobodys = start(STAY, "ours"), start(STAY, "ours-2"), start(STAY, None)
    assert find_processes("ours") == [ours]
    assert find_presences("ours") == (presence_of(ours),)


def test_an_orphan_is_found(start):
    orphan = start(ORPHAN_MAKER, "ours")
    assert orphan in find_processes("ours")
    assert end_instance("ours", grace_s=5) == []
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE


def test_a_process_that_lost_its_mark_is_found_by_a_note(start):
    unmarked = start(STAY_UNMARKED, "ours")
    assert find_processes("ours") == []
    assert find_processes("ours", [presence_of(unmarked)]) == [unmarked]


def test_a_process_that_lost_its_mark_is_found_by_its_session(start):
    leader = start(
        f"import os, subprocess, sys; e = {{k: v for k, v in os.environ.items() if k != '{MARK}'}};"
        f"c = subprocess.Popen([sys.executable, '-c', {STAY!r}], env=e, stdout=subprocess.PIPE);"
        "c.stdout.readline(); print('here', flush=True); c.wait()",
        "ours",
    )
    (child,) = leader.children()
    assert {process.pid for process in find_processes("ours")} == {leader.pid, child.pid}
    end_processes([child], grace_s=0)


def test_an_orphan_in_a_group_of_its_own_is_found_by_its_session(start):
    grouped = f"import os; os.setpgid(0, 0); {STAY}"
    orphan = start(
        f"import os, signal, subprocess, sys; e = {{k: v for k, v in os.environ.items() if k != '{MARK}'}};"
        f"m = subprocess.Popen([sys.executable, '-c', {ORPHAN_MAKER.replace(STAY, grouped)!r}], env=e, stdout=subprocess.PIPE);"
        "print(m.stdout.readline().decode().strip(), flush=True); signal.pause()",
        "ours",
    )
    assert os.getpgid(orphan.pid) == orphan.pid
    assert orphan in find_processes("ours")
    assert end_instance("ours", grace_s=5) == []


def test_a_reused_pid_is_not_touched(start):
    process = start(STAY, None)
    stale = Presence(process.pid, process.create_time() - 60)
    assert find_processes("ours", [stale]) == []
    assert end_instance("ours", [stale], grace_s=1) == []
    assert process.is_running()


def test_the_caller_and_its_ancestors_are_never_found():
    own = presence_of(psutil.Process())
    parent = presence_of(psutil.Process().parent())
    assert find_processes("ours", [own, parent]) == []


def test_a_process_that_does_not_listen_is_killed(start):
    deaf = start(STAY_DEAF, "ours")
    assert end_processes([deaf], grace_s=0.1) == []
    assert find_processes("ours") == []


@pytest.mark.timeout(60)
def test_an_ended_process_that_its_parent_ignores_is_not_waited_for(start):
    parent = start(CARELESS_PARENT, "ours")
    (child,) = parent.children()
    assert end_processes([child], grace_s=600) == []
    assert child.status() == psutil.STATUS_ZOMBIE


def test_ending_one_instance_leaves_the_other_alone(start):
    ours, theirs = start(STAY, "ours"), start(STAY, "theirs")
    assert end_instance("ours", grace_s=5) == []
    assert find_processes("ours") == []
    assert find_processes("theirs") == [theirs]
    assert end_processes([ours], grace_s=1) == []  # ended already: no error
