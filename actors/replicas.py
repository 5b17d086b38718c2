"""The predictor's replicas, as they report themselves: where they are, what they hold, whether they still speak.

Owned by the accountant. Replicas hold no lease and start and end as Serve likes, so nothing here decides anything: it makes one view
show everything. What is kept is lost with the accountant and told again by every replica within seconds.
"""

from actors.clock import Clock
from actors.core.ledger import Ledger
from actors.core.model import Device
from actors.messages import ReplicaReport, ReplicaStanding

#: A replica whose process cannot be seen from here is taken for gone after so long without a report.
SILENCE_S = 10.0

#: A little over one report's period: one elsewhere that was heard so lately spoke while it lived.
_RECENT_S = 2.5


class Replicas:
    """The last report of every replica.

    Invariant: every report is of a device in the ledger, and of a process that lives or, on another node, has spoken lately.
    """

    def __init__(self, node_id: str, ledger: Ledger, clock: Clock) -> None:
        self._node_id = node_id
        self._ledger = ledger
        self._clock = clock
        self._standings: dict[str, ReplicaStanding] = {}

    def take(self, report: ReplicaReport) -> Device | None:
        """Keep a report; returns the device that the replica is on, None while that is not known yet."""
        place = (report.node_id, report.kind, report.gpu_index)
        devices = (account.device for account in self._ledger.accounts.values())
        device = next((each for each in devices if (each.node_id, each.kind, each.index) == place), None)
        if device is not None:
            self._standings[report.replica_id] = ReplicaStanding(report, device.device_id, self._clock.now())
        return device

    def standings(self) -> tuple[ReplicaStanding, ...]:
        """All replicas, by name; those whose process has ended are forgotten."""
        now = self._clock.now()
        self._standings = {name: each for name, each in sorted(self._standings.items()) if self._may_live(each, now)}
        return tuple(self._standings.values())

    def on(self, device_id: str) -> tuple[ReplicaReport, ...]:
        """The replicas on one device, by name."""
        return tuple(each.report for each in self.standings() if each.device_id == device_id)

    def speaking_on(self, device_id: str) -> frozenset[str]:
        """The names of those on a device that surely speak: seen alive here, or heard just now from elsewhere."""
        now = self._clock.now()
        mine = (each for each in self.standings() if each.device_id == device_id)
        return frozenset(each.report.replica_id for each in mine if self._may_live(each, now, _RECENT_S))

    def local_pids(self) -> dict[int, str]:
        """The processes on the accountant's own node, each with its replica."""
        reports = (each.report for each in self.standings())
        return {report.presence.pid: report.replica_id for report in reports if report.node_id == self._node_id}

    def _may_live(self, standing: ReplicaStanding, now: float, silence_s: float = SILENCE_S) -> bool:
        if standing.report.node_id == self._node_id:
            return standing.report.presence.process() is not None
        return now - standing.heard_at <= silence_s
