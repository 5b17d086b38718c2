"""The nodes of the cluster as they come and go, for the accountant.

Finds the devices of a node that joined and names those of one that was lost; the placement groups of a lost node are removed. A node
can be lost at any moment, also while its devices are being looked for: then nothing is known of it, and the next look finds out.
Decides nothing: what follows from a change is the scheduler's.
"""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable

import ray

from actors.core.model import Device
from actors.devices import DeviceGroup, DeviceHouse, remove_groups

#: How often the nodes are looked at. Ray itself needs seconds to believe that a node is lost.
_EVERY_S = 1.0


class NodeSurvey:
    """Watches the nodes.

    Invariant: a node counts as known only when every device of it was handed over; the groups of a lost node are removed until that
    has succeeded.
    """

    def __init__(self, house: DeviceHouse) -> None:
        self._house = house
        self._unremoved: set[str] = set()

    async def find(self, node_ids: set[str] | None = None) -> list[DeviceGroup]:
        """Find the devices of these nodes; of all that live where None."""
        return await self._house.discover(node_ids)

    async def watch(
        self,
        present: Callable[[], Iterable[Device]],
        add: Callable[[DeviceGroup], Awaitable[None]],
        lose: Callable[[Device], Awaitable[None]],
    ) -> None:
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

    async def _look(
        self,
        present: tuple[Device, ...],
        add: Callable[[DeviceGroup], Awaitable[None]],
        lose: Callable[[Device], Awaitable[None]],
    ) -> None:
        live = {node["NodeID"] for node in await asyncio.to_thread(ray.nodes) if node["Alive"]}
        for device in present:
            if device.node_id not in live:
                self._unremoved.add(device.node_id)
                await lose(device)
        if self._unremoved:
            await asyncio.to_thread(remove_groups, self._unremoved)
            self._unremoved = set()
        new = live - {device.node_id for device in present}
        for group in await self.find(new) if new else ():
            await add(group)
