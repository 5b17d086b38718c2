"""What all tests share: a service that was really started, by the command line that users have, and the proof of every history."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.ports import find_free_port
from cluster.processes import find_processes, instance_mark
from tests.history import check_stores
from tests.service.driving import Service, clean_environment, run_cli, what_is_left

#: The predictor follows its load within seconds. Requests wait for others to share a batch with, so that a few callers are load enough
#: and leave the processor to those who start.
QUICK_SERVING = {
    "RFUAV_SERVING_TARGET_ONGOING": "1",
    "RFUAV_SERVING_UP_DELAY_S": "0.5",
    "RFUAV_SERVING_DOWN_DELAY_S": "15",
    "RFUAV_SERVING_BATCH_WAIT_MS": "200",
}


@pytest.fixture(scope="session", autouse=True)
def every_history_keeps_the_rules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the very end, when every service of the run is down: what the stores tell of could have happened, in all of them."""
    yield
    check_stores(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def test_data_root() -> Path | None:
    """The folder of real test data, where there is one."""
    found = Path(os.environ.get("RFUAV_TEST_DATA") or Path(__file__).parents[1].parent / "shared" / "data")
    return found.resolve() if found.is_dir() else None


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, test_data_root: Path | None) -> Iterator[Service]:
    """One service for all tests that ask for it, with two simulated GPUs; when it ends, nothing of it may be left."""
    folder = tmp_path_factory.mktemp("service")
    data_root = folder / "data"
    data_root.mkdir()
    port, state_dir = find_free_port(), folder / "state"
    roots = ["--data-root", data_root]
    if test_data_root:
        roots += ["--data-root", test_data_root]
    other_site = f"http://127.0.0.1:{find_free_port()}"
    environ = clean_environment() | QUICK_SERVING | {"CORS_ORIGINS": other_site}
    options = ["--port", port, "--state-dir", state_dir, "--simulate-gpus", 2, *roots]
    begun = run_cli("up", "--detach", *options, cwd=folder, environ=environ)
    assert begun.returncode == 0, begun.stdout + begun.stderr
    assert f"READY http://127.0.0.1:{port}/" in begun.stdout
    yield Service(f"http://127.0.0.1:{port}", port, state_dir, data_root, test_data_root, other_site)
    known = find_processes(instance_mark(state_dir))
    ended = run_cli("down", "--state-dir", state_dir, cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert what_is_left(state_dir, port, known) == []
