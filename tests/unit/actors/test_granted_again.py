"""Nobody is told of a lease that is not on disk yet, not even who asks for it again."""

import asyncio
from types import SimpleNamespace

import pytest

from actors import accountant
from actors.accountant import GpuAccountant
from actors.core import events as ev
from actors.core.model import GIB, Device, DeviceKind, LeaseRequest, WorkKind
from actors.lease_store import LeaseChange
from configs.settings import Settings


class HeldWriter:
    """A writer that takes one change after the other, and none before it has room."""

    def __init__(self):
        self.room, self.taken = asyncio.Event(), []

    async def keep(self, change):
        await self.room.wait()
        self.taken.append(change)


@pytest.fixture
def books(tmp_path, monkeypatch):
    monkeypatch.setattr(accountant.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node"))
    return GpuAccountant(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))


def test_a_lease_is_told_to_who_asks_again_only_once_it_is_on_disk(books, monkeypatch):
    async def ask_twice():
        books._writer = writer = HeldWriter()
        monkeypatch.setattr(books, "_granted", lambda lease: lease)
        cpu = Device("cpu:0", DeviceKind.CPU, "node", 0, 16 * GIB, cores=2)
        books._scheduler.handle(ev.DeviceAdded(cpu, None), now=0.0)
        request = LeaseRequest("t.1", "t", WorkKind.TRAINING, "cpu", 5, 1.0)
        asked = [asyncio.create_task(books._answer(request)) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(question.done() for question in asked)
        writer.room.set()
        first, again = await asyncio.gather(*asked)
        assert first == again
        assert [len(change.events) for change in writer.taken] == [1, 0]
        assert writer.taken[1] == LeaseChange()

    asyncio.run(ask_twice())
