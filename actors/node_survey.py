"""The nodes of the cluster as they come and go, for the accountant.

Finds the devices of a node that joined and names those of one that was lost; the placement groups of a lost node are removed. A node
can be lost at any moment, also while its devices are being looked for, and one that counts as alive may still not answer: then nothing
is known of it, the other nodes go on, and a later look finds out. Decides nothing: what follows from a change is the scheduler's.
"""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import ray

from actors.core.model import Device
from actors.devices import DeviceGroup, DeviceHouse, nodes_with_groups, remove_groups
from actors.names import NAME_LABEL

#: How often the nodes are looked at. Ray itself needs seconds to believe that a node is lost.
_EVERY_S = 1.0
#: A start waits so long for the other nodes, whose leases it would like to take over; who is later is found by a look.
_START_PATIENCE_S = 20.0

Add = Callable[[DeviceGroup], Awaitable[None]]
Lose = Callable[[Device], Awaitable[None]]


class NodeSurvey:
    """Watches the nodes.

    Invariant: a node counts as known only when every device of it was handed over, and is asked by one search at a time; the groups of
    a lost node are removed until that has succeeded.
    """

    def __init__(self, house: DeviceHouse, own_node_id: str, *, takes_joined: bool) -> None:
        """Prepare a survey.

        Args:
            house: finds the devices of a node.
            own_node_id: the node that the service itself is on.
            takes_joined: whether nodes count that were brought by ``rfuav join``, beside those that Ray had of its own.
        """
        self._house = house
        self._own_node_id = own_node_id
        self._takes_joined = takes_joined
        self._unremoved: set[str] = set()
        self._last_live: set[str] | None = None
        self._searches: dict[str, asyncio.Task[None]] = {}

    async def begin(self, add: Add) -> None:
        """Find the devices of the own node, and those of the others that answer soon. Raises what the own node's search raises."""
        for group in await self._house.discover(self._own_node_id):
            await add(group)
        self._search(await self._live() - {self._own_node_id}, add)
        if self._searches:
            await asyncio.wait(self._searches.values(), timeout=_START_PATIENCE_S)

    async def watch(self, present: Callable[[], Iterable[Device]], add: Add, lose: Lose) -> None:
        """Look again and again, for ever.

        Args:
            present: the devices that count as there now.
            add: takes a device that has come.
            lose: takes a device whose node is lost.
        """
        while True:
            await asyncio.sleep(_EVERY_S)
            try:
                await self._look(tuple(present()), add, lose)
            except Exception:  # noqa: BLE001 - whatever a dying node does to a look, the next one must come
                traceback.print_exc(file=sys.stderr)

    async def _look(self, present: tuple[Device, ...], add: Add, lose: Lose) -> None:
        live = await self._live()
        # Groups may be left of nodes that were lost while nobody watched, or before a device of theirs was known.
        before = await asyncio.to_thread(nodes_with_groups) if self._last_live is None else self._last_live
        self._unremoved |= before - live
        self._last_live = live
        for device in present:
            if device.node_id not in live:
                self._unremoved.add(device.node_id)
                await lose(device)
        if self._unremoved:
            await asyncio.to_thread(remove_groups, self._unremoved)
            self._unremoved = set()
        self._search(live - {device.node_id for device in present}, add)

    async def _live(self) -> set[str]:
        return {node["NodeID"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"] and self._counts(node)}

    def _counts(self, node: Mapping[str, Any]) -> bool:
        return self._takes_joined or NAME_LABEL not in node.get("Labels", {})

    def _search(self, node_ids: set[str], add: Add) -> None:
        """Begin to look for the devices of these nodes, each for itself; who is being asked already is not asked again."""
        self._searches = {node_id: task for node_id, task in self._searches.items() if not task.done()}
        for node_id in sorted(node_ids - set(self._searches)):
            self._searches[node_id] = asyncio.create_task(self._find(node_id, add))

    async def _find(self, node_id: str, add: Add) -> None:
        """Hand over every device of a node, unless it does not answer."""
        try:
            for group in await self._house.discover(node_id):
                await add(group)
        except Exception:  # noqa: BLE001 - one sick node is no reason to give up the others; it is asked again
            traceback.print_exc(file=sys.stderr)
