"""What following costs the ingress: one viewer of a log of 10,000 lines, as one burst and spread over time, and one of all events.

Runs the application under uvicorn in a process of its own, over ports in memory that answer as the real ones do, so that the figure is
the ingress's alone: its seconds of processor while the viewer follows, without those of Ray's calls.
"""

import asyncio
import multiprocessing
import sys
import time
from multiprocessing.connection import Connection

import httpx
import psutil
import uvicorn

from actors.core.tasks import Progress
from cluster.ports import find_free_port
from configs.settings import Settings
from serve_app.app import create_app
from serve_app.context import Ports
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks, make_line
from tests.http import bodies

LINES = 10_000
SPREAD_S = 60.0
EVENTS_PER_S = 10
FIGURES = {"train_loss": 0.41, "train_acc": 88.2, "val_loss": 0.47, "val_acc": 86.9}


class World:
    """A running training in an application that listens, and what happens to it on demand."""

    def __init__(self) -> None:
        self.tasks, self.logs = FakeTasks(), FakeLogs()
        ports = Ports(self.tasks, self.logs, FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor())
        self.app = create_app(ports, Settings())

    async def write(self, count: int, seconds: float) -> None:
        """Write lines evenly over a time; 0 for all at once."""
        self.tasks.grant("t1", "cuda:0")
        parts = max(1, round(seconds * 10))
        for number in range(parts):
            lines = [make_line(f"batch {step}", stage="training", step=step, metrics=FIGURES) for step in range(count // parts)]
            await self.logs.write("t1", *lines, is_last=number == parts - 1)
            await asyncio.sleep(seconds / parts)
        self.tasks.finish("t1")

    async def report(self, seconds: float) -> None:
        """Report progress again and again, then end."""
        self.tasks.grant("t1", "cuda:0")
        for number in range(round(seconds * EVENTS_PER_S)):
            self.tasks.progress("t1", Progress(number % 100, "training", 1, 2, FIGURES))
            await asyncio.sleep(1 / EVENTS_PER_S)
        self.tasks.finish("t1")


def serve(port: int, orders: Connection) -> None:
    """The process that is measured: it does what it is told, one thing after the other."""
    world = World()

    async def run() -> None:
        server = uvicorn.Server(uvicorn.Config(world.app, port=port, log_level="warning"))
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
        orders.send("started")
        what, *args = await asyncio.to_thread(orders.recv)
        await getattr(world, what)(*args)
        orders.send("done")
        await asyncio.to_thread(orders.recv)
        server.should_exit = True
        await serving

    asyncio.run(run())


async def follow(port: int, path: str, until: str) -> int:
    """Follow a stream to a word in it; returns how many events came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    count = 0
    async for line in reader:
        count += line.startswith(b"data: ")
        if line.startswith(b"data: ") and until.encode() in line:
            break
    writer.close()
    return count


async def submit(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        (await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))).raise_for_status()


def measure(name: str, order: tuple, path: str, until: str) -> None:
    """Start a service, follow while an order is carried out, and print what that cost."""
    port = find_free_port()
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(port, theirs))
    process.start()
    try:
        ours.recv()
        asyncio.run(submit(port))
        begun_s, begun = cpu_s(process.pid), time.perf_counter()
        count = asyncio.run(_follow_while(ours, order, port, path, until))
        took_s, cost_s = time.perf_counter() - begun, cpu_s(process.pid) - begun_s
        share, each = 100 * cost_s / took_s, 1e6 * cost_s / max(1, count)
        print(f"{name}: {count} events in {took_s:.1f} s; {cost_s:.2f} s of a core, {share:.1f} % of one, {each:.0f} us an event")
        ours.send("end")
        process.join(20)
    finally:
        process.kill()


async def _follow_while(orders: Connection, order: tuple, port: int, path: str, until: str) -> int:
    following = asyncio.create_task(follow(port, path, until))
    await asyncio.sleep(0.5)
    orders.send(order)
    return await following


def cpu_s(pid: int | None) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def main() -> None:
    spread_s = float(sys.argv[1]) if len(sys.argv) > 1 else SPREAD_S
    log = "/api/v2/tasks/t1/logs"
    # The fake ports' own work (making the lines, the state machine) is in these figures too.
    measure("a log in one burst", ("write", LINES, 0.0), log, '"status":')
    measure("a log as it is written", ("write", LINES, spread_s), log, '"status":')
    measure("all events of a training", ("report", spread_s / 2), "/api/v2/events", '"status":"completed"')


if __name__ == "__main__":
    main()
