"""The command line against the real application, served on a loopback port over ports in memory."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import pytest
import uvicorn
from typer.testing import CliRunner

from actors.access import KeyTable, Role, mint_key
from cluster.cli import app as command_line
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports, Service
from serve_app.cpu_meter import CpuMeter
from serve_app.log_feed import LogFeed, Pace
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import START, FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks, make_device_view

COMMAND = (sys.executable, "-m", "cluster.cli")
DEADLINE_S = 30


@dataclass
class World:
    """What stands behind the ports of one test. Everything in it lives in the server's loop: change it through ``do`` and ``wait``."""

    url: str
    loop: asyncio.AbstractEventLoop
    tasks: FakeTasks = field(default_factory=FakeTasks)
    logs: FakeLogs = field(default_factory=FakeLogs)
    resources: FakeResources = field(
        default_factory=lambda: FakeResources(
            make_device_view("cuda:0"), make_device_view("cuda:1", simulated=True), make_device_view("cpu:0")
        )
    )
    health: FakeHealth = field(default_factory=FakeHealth)
    access: FakeAccess = field(default_factory=FakeAccess)
    models: FakeModels = field(default_factory=FakeModels)
    predictor: FakePredictor = field(default_factory=FakePredictor)

    def ports(self):
        return Ports(self.tasks, self.logs, self.resources, self.health, self.access, self.models, self.predictor)

    def do(self, change, *args, **kwargs):
        """Call something in the server's loop, and return what it returns."""

        async def call():
            return change(*args, **kwargs)

        return self.wait(call())

    def wait(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(DEADLINE_S)


class Server(uvicorn.Server):
    """A server in a thread of its own; uvicorn's handlers of signals belong to the main thread."""

    def install_signal_handlers(self):
        pass

    async def serve_to_the_end(self, listening):
        """Serve until told to stop, and leave no task of any test behind."""
        await self.serve(sockets=[listening])
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


@pytest.fixture(scope="session")
def served():
    """The application on a free port; building its routes takes a third of a second. Gives (application, url, loop)."""
    nothing = Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor())
    application = create_app(nothing, Settings())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = Server(uvicorn.Config(application, log_level="error", timeout_graceful_shutdown=1))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serve_to_the_end(listening),), daemon=True)
        thread.start()
        yield application, f"http://127.0.0.1:{listening.getsockname()[1]}", loop
        server.should_exit = True
        thread.join(DEADLINE_S)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "root").mkdir()
    return Settings(data_roots=(tmp_path / "root",), state_dir=tmp_path / "var")


@pytest.fixture
def world(served, settings):
    application, url, loop = served
    world = World(url, loop)
    feed = LogFeed(world.logs, world.tasks, Pace(poll_s=0.05, turn_s=0))
    application.state.service = Service(world.ports(), settings, feed, CpuMeter(), application.state.service.requests)
    return world


@pytest.fixture
def run(world):
    """Run a command to its end; stdout is no terminal there."""

    def call(*args, code=0, env=None):
        environ = {"RFUAV_URL": world.url, "RFUAV_API_KEY": ""} | (env or {})
        result = CliRunner().invoke(command_line, [str(each) for each in args], env=environ)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, (result.exit_code, result.output, result.exception)
        assert "Traceback" not in result.output
        assert "\x1b" not in result.output
        return result

    return call


@pytest.fixture
def start(world):
    """Start a command as a process of its own; what is left of it is ended after the test."""
    processes = []

    def call(*args, stdout=subprocess.PIPE, **environ):
        environment = os.environ | {"RFUAV_URL": world.url, "RFUAV_API_KEY": "", "TERM": "xterm"} | environ
        process = subprocess.Popen(
            [*COMMAND, *map(str, args)], stdout=stdout, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=environment, text=True
        )
        processes.append(process)
        return process

    yield call
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def keys(world):
    """A key of each role, by role."""
    new = {role: mint_key(f"the {role}", role, now=START) for role in Role}
    world.wait(world.access.put(KeyTable(1, {each.key.key_id: each.key for each in new.values()})))
    return {role: each.token for role, each in new.items()}


def interrupt(process):
    """Press Ctrl-C, and return (exit code, rest of stdout, stderr)."""
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, err


def wait_until(is_so):
    """Look ever so often until something is so."""
    deadline = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, "it never came to be"
        pause.wait(0.02)
