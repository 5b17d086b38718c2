"""Nodes that come and go, as the accountant hears of them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from actors import node_survey
from actors.core.model import Device, DeviceKind
from actors.devices import DeviceGroup
from actors.node_survey import NodeSurvey


def device(node_id: str) -> Device:
    return Device(f"cpu:{node_id}", DeviceKind.CPU, node_id, 0, 2**30)


@dataclass
class World:
    """A cluster, its devices' house, and what the survey's owner was told."""

    nodes: dict[str, bool]
    failures: list[Exception] = field(default_factory=list)
    present: dict[str, Device] = field(default_factory=dict)
    cleared: list[set[str]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    async def discover(self, node_ids: set[str] | None) -> list[DeviceGroup]:
        if self.failures:
            raise self.failures.pop()
        return [DeviceGroup(device(each), f"group-{each}") for each in sorted(node_ids or self.nodes)]

    def clear(self, node_ids: set[str]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.cleared.append(set(node_ids))

    async def add(self, group: DeviceGroup) -> None:
        self.present[group.device.node_id] = group.device

    async def lose(self, gone: Device) -> None:
        del self.present[gone.node_id]
        self.lost.append(gone.node_id)


@pytest.fixture
def world(monkeypatch):
    made = World({"head": True})
    monkeypatch.setattr(node_survey.ray, "nodes", lambda: [{"NodeID": each, "Alive": live} for each, live in made.nodes.items()])
    monkeypatch.setattr(node_survey, "remove_groups", made.clear)
    monkeypatch.setattr(node_survey, "_EVERY_S", 0.001)
    return made


def watch_until(world: World, is_so):
    """Let the survey look until something is so."""

    async def run():
        watching = asyncio.create_task(NodeSurvey(world).watch(world.present.values, world.add, world.lose))
        async with asyncio.timeout(20):
            while not is_so():  # noqa: ASYNC110 - the survey itself has no event; it looks every millisecond here
                await asyncio.sleep(0.001)
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching

    asyncio.run(run())


def test_a_node_that_joins_brings_its_devices(world):
    world.nodes["other"] = True
    watch_until(world, lambda: set(world.present) == {"head", "other"})
    assert world.lost == []


def test_a_lost_node_takes_its_devices_and_its_groups_with_it(world):
    watch_until(world, lambda: set(world.present) == {"head"})
    world.present["other"] = device("other")
    world.nodes["other"] = False
    watch_until(world, lambda: world.cleared)
    assert (world.lost, world.cleared, set(world.present)) == (["other"], [{"other"}], {"head"})


def test_a_look_that_fails_is_made_again(world, capsys):
    world.failures = [TimeoutError("no answer of a dying node")] * 2
    watch_until(world, lambda: world.present)
    assert "no answer of a dying node" in capsys.readouterr().err


def test_the_groups_of_a_lost_node_are_removed_even_where_the_first_try_fails(world, capsys):
    watch_until(world, lambda: world.present)
    world.present["other"] = device("other")
    world.failures = [OSError("the control store is busy")]
    watch_until(world, lambda: world.cleared)
    assert world.cleared == [{"other"}]
    assert "busy" in capsys.readouterr().err
