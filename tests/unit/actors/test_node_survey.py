"""Nodes that come and go, as the accountant hears of them."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from actors import devices, node_survey
from actors.core.model import Device, DeviceKind
from actors.devices import DeviceGroup
from actors.names import NAME_LABEL
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
    sick: dict[str, Exception | None] = field(default_factory=dict)
    with_groups: set[str] = field(default_factory=set)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    def list_nodes(self) -> list[dict]:
        return [{"NodeID": each, "Alive": live, "Labels": self.labels.get(each, {})} for each, live in self.nodes.items()]

    async def discover(self, node_id: str) -> list[DeviceGroup]:
        if node_id in self.sick:
            error = self.sick[node_id]
            if error is None:
                await asyncio.Event().wait()  # for ever
            else:
                raise error
        if self.failures:
            raise self.failures.pop()
        return [DeviceGroup(device(node_id), f"group-{node_id}")]

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
    monkeypatch.setattr(node_survey.ray, "nodes", made.list_nodes)
    monkeypatch.setattr(node_survey, "nodes_with_groups", lambda: set(made.with_groups))
    monkeypatch.setattr(node_survey, "_START_PATIENCE_S", 0.05)
    monkeypatch.setattr(node_survey, "remove_groups", made.clear)
    monkeypatch.setattr(node_survey, "_EVERY_S", 0.001)
    return made


def watch_until(world: World, is_so, *, takes_joined=True):
    """Let the survey look until something is so."""

    async def run():
        survey = NodeSurvey(world, "head", takes_joined=takes_joined)
        watching = asyncio.create_task(survey.watch(world.present.values, world.add, world.lose))
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


def begin(world: World) -> None:
    asyncio.run(NodeSurvey(world, "head", takes_joined=True).begin(world.add))


@pytest.mark.parametrize("error", [TimeoutError("its group is not ready"), None], ids=["an error", "silence"])
def test_a_sick_node_keeps_no_start_from_its_end(world, error):
    world.nodes |= {"sick": True, "other": True}
    world.sick["sick"] = error
    begin(world)
    assert set(world.present) == {"head", "other"}


def test_a_start_whose_own_node_does_not_answer_fails(world):
    world.sick["head"] = TimeoutError("no answer")
    with pytest.raises(TimeoutError):
        begin(world)


def test_a_node_that_does_not_answer_hides_no_loss_and_no_other_node(world):
    watch_until(world, lambda: world.present)
    world.nodes |= {"sick": True, "new": True, "other": False}
    world.sick["sick"] = None
    world.present["other"] = device("other")
    watch_until(world, lambda: world.lost == ["other"] and "new" in world.present)


def test_a_sick_node_that_recovers_is_found(world, capsys):
    world.nodes["sick"] = True
    world.failures = [TimeoutError("no answer")] * 3
    watch_until(world, lambda: set(world.present) == {"head", "sick"})
    assert "no answer" in capsys.readouterr().err


def test_groups_of_nodes_that_were_lost_while_nobody_watched_are_removed(world):
    world.with_groups = {"head", "long-gone"}
    watch_until(world, lambda: world.cleared)
    assert world.cleared == [{"long-gone"}]


def test_groups_of_a_node_that_was_lost_before_it_was_known_are_removed(world):
    world.nodes["sick"] = True
    world.sick["sick"] = None

    def is_cleared():
        world.nodes["sick"] = "head" not in world.present
        return world.cleared

    watch_until(world, is_cleared)
    assert (world.cleared, world.lost) == ([{"sick"}], [])


def test_a_service_of_one_machine_leaves_nodes_alone_that_joined(world):
    world.nodes |= {"joined": True, "rays own": True}
    world.labels["joined"] = {NAME_LABEL: "lab-2"}
    watch_until(world, lambda: len(world.present) > 1, takes_joined=False)
    assert set(world.present) == {"head", "rays own"}


def test_the_nodes_of_groups_are_read_from_their_names(monkeypatch):
    table = {
        "1": {"name": devices.group_name(DeviceKind.GPU, "ab12", 0), "state": "CREATED"},
        "2": {"name": devices.group_name(DeviceKind.CPU, "cd34", 0), "state": "PENDING"},
        "3": {"name": devices.group_name(DeviceKind.CPU, "ef56", 0), "state": "REMOVED"},
        "4": {"name": "somebody-elses-group-0", "state": "CREATED"},
        "5": {"name": "", "state": "CREATED"},
    }
    monkeypatch.setattr(devices.ray.util, "placement_group_table", lambda: table)
    assert devices.nodes_with_groups() == {"ab12", "cd34"}
