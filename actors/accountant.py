"""The GPU accountant: who may use which part of which device, and when.

A thin shell over ``core.scheduler``: every message becomes one event, every command that comes back is carried out here. The
transition itself is synchronous, so no two messages interleave; what follows from it is written to the store, in order, before
anybody is told. Waiting is data: ``acquire`` answers at once, and ``next_decisions`` hands out grants as they are made.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress

import ray

from actors.books_check import find_lasting_differences
from actors.books_picture import Beliefs
from actors.clock import Clock, SystemClock
from actors.core import events as ev
from actors.core.durations import Durations
from actors.core.errors import LimitError, RequestError, StoreUnavailableError, UnsatisfiableRequestError
from actors.core.events import EndCause
from actors.core.explanation import Explanation
from actors.core.lease_history import PastLease, read_leases
from actors.core.model import Device, DeviceKind, HolderKind, Lease, LeaseRequest, WorkKind
from actors.core.scheduler import Scheduler
from actors.core.serving import ServingAllowance, choose_allowance
from actors.decision_feed import DecisionFeed, Position
from actors.devices import DeviceGroup, DeviceHouse
from actors.driver_line import DriverLine
from actors.duties import Duties
from actors.holders import Holders
from actors.home import Home
from actors.lease_store import LeaseChange, LeaseHolder, LeaseStore, StoredLease
from actors.lease_writer import LeaseWriter
from actors.memory_guard import DriverWatch, MemoryGuard
from actors.messages import (
    BooksReport,
    Decisions,
    GrantedLease,
    LeaseAnswer,
    LeasePlace,
    Queued,
    ReplicaReport,
    ReplicaStanding,
    ResourceView,
)
from actors.names import ACCOUNTANT
from actors.node_survey import NodeSurvey
from actors.policy import build_policy
from actors.presence import Presence, announce
from actors.replicas import Replicas
from actors.resource_view import Surroundings, build_view
from actors.start import Start
from configs.settings import Settings

_TICK_S = 1.0
_RELEASE_GRACE_S = 5.0
_MOST_ORDER = 1_000


class GpuAccountant:
    """Owner of devices, leases and the waiting line.

    Invariant: the scheduler is changed only in ``_apply``; a lease that anybody was told of is in the store; units return to the pool
    only when the process that bound the lease is gone.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        announce(settings.state_dir, ACCOUNTANT)
        self._settings = settings
        self._clock = clock or SystemClock()
        self._store = LeaseStore(settings.database_url)
        self._policy = build_policy(settings)
        self._scheduler = Scheduler(
            self._policy, next_token=self._store.read_last_token() + 1, durations=Durations(self._store.read_durations())
        )
        self._session = ray.get_runtime_context().get_node_id()
        house = DeviceHouse(self._store, self._policy, simulated=settings.simulate_gpus > 0)
        self._survey = NodeSurvey(house, self._session, takes_joined=settings.nodes == "several")
        self._driver = DriverWatch()
        self._guard = MemoryGuard(self._session, self._driver)
        self._unmatched: set[str] = set()  # the devices on which the driver's pids are not ours
        self._groups: dict[str, str] = {}
        self._holders = Holders(self._session, self._guard, self._scheduler.ledger)
        self._replicas = Replicas(self._session, self._scheduler.ledger, self._clock)
        self._writer = LeaseWriter(self._store)
        self._feed = DecisionFeed(self._holders.is_good)
        self._drivers = DriverLine(settings.lease_ttl_s)
        self._duties = Duties()
        self._start = Start(self._begin)

    # --- messages ---

    async def ping(self) -> float:
        """Answer with the time, once the devices are known."""
        await self._start.finished()
        return self._clock.now()

    async def pid(self) -> int:
        """The process that the accountant lives in now."""
        return os.getpid()

    async def home(self) -> Home:
        """What the service was started with, and where: for whoever joins or rebuilds a part of it."""
        return Home(self._settings, self._session)

    async def check(self, request: LeaseRequest) -> int:
        """Make sure that a request could be granted some day; returns the largest memory in bytes that it could be given.

        Raises:
            UnsatisfiableRequestError: it could not, and why.
        """
        await self._start.finished()
        impossible = self._scheduler.find_impossibility(request)
        if impossible is not None:
            raise UnsatisfiableRequestError(request.request_id, impossible)
        return self._scheduler.largest_budget(request)

    async def acquire(self, request: LeaseRequest) -> GrantedLease | Queued:
        """Ask for a lease; the answer is there at once. Asking again with the same request gets the first answer.

        Raises:
            UnsatisfiableRequestError, DuplicateRequestError: it will never be granted.
        """
        (answer,) = await self.acquire_all([request])
        if isinstance(answer, RequestError):
            raise answer
        return answer

    async def acquire_all(self, requests: Sequence[LeaseRequest]) -> tuple[LeaseAnswer, ...]:
        """Ask for leases, one after the other in this order; a refusal is a value here."""
        await self._start.finished()
        return tuple([await self._answer(request) for request in requests])

    async def _answer(self, request: LeaseRequest) -> LeaseAnswer:
        self._drivers.note(request, self._clock.now())
        for command in await self._apply(ev.LeaseRequested(request)):
            match command:
                case ev.Reject(request_id=request.request_id, error=error):
                    return error
                case ev.Grant(lease) if lease.request.request_id == request.request_id:
                    return self._granted(lease)
                case ev.Queue(request_id=request.request_id, reason=reason):
                    return Queued(request.request_id, reason)
        raise RuntimeError(f"no answer to {request.request_id}")

    async def withdraw(self, request_id: str) -> None:
        """Take a request out of the line; if it was granted meanwhile, take the lease back."""
        await self._start.finished()
        lease = self._holders.find(request_id)
        await self._apply(ev.RequestWithdrawn(request_id) if lease is None else ev.LeaseReleased(lease.lease_id, lease.token))

    async def rerank(self, request_id: str, priority: int) -> None:
        """Give a waiting request another priority."""
        await self._start.finished()
        await self._apply(ev.RequestReranked(request_id, priority))
        self._feed.note_line()

    async def explain(self, request_id: str) -> Explanation | None:
        """Why a request waits; None if it is not in line."""
        await self._start.finished()
        return self._scheduler.explain(request_id, now=self._clock.now())

    async def explain_draft(self, request: LeaseRequest) -> Explanation:
        """What would happen to a request if it came now.

        Raises:
            UnsatisfiableRequestError: it could never be granted.
        """
        await self._start.finished()
        return self._scheduler.explain_draft(request, now=self._clock.now())

    async def past_leases(self, task_id: str) -> tuple[PastLease, ...]:
        """Every lease that was granted for a task, oldest first, those that are open among them. Raises StoreUnavailableError."""
        events = await asyncio.to_thread(self._store.read_lease_events, task_id)
        return read_leases(event for event in events if event.holder is HolderKind.ATTEMPT)

    async def bind(self, lease_id: str, token: int, node_id: str, presence: Presence) -> float:
        """Name a process that uses a lease (each of a gang's does); returns when the lease would end without a renewal.

        Raises:
            LeaseNotFoundError, LeaseExpiredError: the process must not begin.
        """
        expires_at = await self.renew(lease_id, token)
        holder = LeaseHolder(node_id, presence)
        stored = self._holders.bind(lease_id, holder)
        if stored is not None:
            self._duties.begin(self._holders.follow(lease_id, holder, self._holder_gone, self._set_quarantine))
            await self._writer.keep(LeaseChange(leases=(stored,)))
        return expires_at

    async def renew(self, lease_id: str, token: int) -> float:
        """Keep a lease for another time to live; returns its new end.

        Raises:
            LeaseNotFoundError, LeaseExpiredError: the holder must stop by itself.
        """
        await self._start.finished()
        answer, *_ = await self._apply(ev.LeaseRenewed(lease_id, token))
        if isinstance(answer, ev.Refuse):
            raise answer.error
        assert isinstance(answer, ev.Renew)  # noqa: S101 - the only other answer
        return answer.expires_at

    async def renew_until_bound(self, lease_id: str, token: int) -> None:
        """Renew a lease on behalf of processes that are still coming up; one that is bound is its processes' own to renew.

        Raises:
            LeaseNotFoundError, LeaseExpiredError: nothing may begin on it.
        """
        await self._start.finished()
        if not self._holders.is_bound(lease_id, token):
            await self.renew(lease_id, token)

    async def release(self, lease_id: str, token: int, is_complete: bool = False) -> None:  # noqa: FBT001, FBT002 - crosses Ray
        """Give a lease back. Its units return when its process is gone. Releasing twice is harmless.

        ``is_complete``: its work came to a proper end, so that its duration is worth remembering.
        """
        await self._start.finished()
        await self._apply(ev.LeaseReleased(lease_id, token, is_complete))

    async def next_decisions(
        self, incarnation: str, after: int, wait_s: float, holder: HolderKind = HolderKind.ATTEMPT
    ) -> Decisions:
        """Grants to and revocations from one kind of holder since a position, and the line as it is; waits up to ``wait_s`` for news."""
        await self._start.finished()
        return await self._feed.next(Position(incarnation, after), holder, wait_s, self._order)

    async def set_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> ResourceView:
        """Merge new limits by device id; ``cuda`` and ``cpu`` mean every device of the kind.

        Raises:
            LimitError: names what is wrong; nothing was changed.
        """
        await self._start.finished()
        expanded: dict[str, dict[WorkKind, int]] = {}
        for name, by_work in limits.items():
            for device_id in self._expand(name):
                expanded.setdefault(device_id, {}).update(by_work)
        await self._apply(ev.LimitsChanged(expanded))
        await self._writer.call(self._store.write_limits, expanded)
        return await self.view()

    async def report_replica(self, report: ReplicaReport) -> Device | None:
        """Take in what a replica of the predictor says of itself; returns its device, None while that is not known yet."""
        await self._start.finished()
        return self._replicas.take(report)

    async def list_replicas(self) -> tuple[ReplicaStanding, ...]:
        """The replicas that live, with the time of their last report."""
        await self._start.finished()
        return self._replicas.standings()

    async def serving_allowance(self, kind: DeviceKind | None = None) -> ServingAllowance:
        """What the predictor may use of the devices that are there; of one kind, once its replicas use that."""
        await self._start.finished()
        return choose_allowance(self._present(), self._policy, kind)

    async def view(self) -> ResourceView:
        """All devices and the line now."""
        await self._start.finished()
        reading = await self._driver.latest(self._clock.now())
        leases, replicas = self._holders.leases, self._replicas
        task_of_pid = {pid: leases[lease_id].lease.request.task_id for pid, lease_id in self._holders.local_pids(leases).items()}
        around = Surroundings(self._groups, reading, task_of_pid, replicas.local_pids(), replicas.on, self._unmatched)
        return build_view(self._scheduler, around, now=self._clock.now())

    async def check_books(self) -> BooksReport:
        """Compare the ledger with Ray's books and the live processes; takes a few seconds only where they differ."""
        await self._start.finished()
        beliefs = Beliefs(
            self._scheduler.ledger, self._policy, self._holders, self._replicas, self._groups, own_node_id=self._session
        )
        differences = await find_lasting_differences(beliefs.picture)
        return BooksReport(not differences, differences, self._clock.now())

    # --- the transition and what follows ---

    async def _apply(self, event: ev.Event) -> Sequence[ev.Command]:
        """Let the scheduler take in an event and carry out its commands."""
        commands, change = self._decide(event)
        await self._carry_out(commands, change)
        return commands

    def _decide(self, event: ev.Event) -> tuple[Sequence[ev.Command], LeaseChange]:
        """Let the scheduler take in an event; returns its commands, and what of them is to be written down."""
        now = self._clock.now()
        commands = self._scheduler.handle(event, now=now)
        return commands, self._holders.take_in(event, commands, at=now)

    async def _carry_out(self, commands: Sequence[ev.Command], change: LeaseChange) -> None:
        """Write down what was decided, then let it happen."""
        # A grant that is told again may still be on its way to the disk: the writer takes one change after the other.
        if change.events or any(isinstance(command, ev.Grant) for command in commands):
            await self._writer.keep(change)
        self._publish(commands)
        if any(isinstance(command, ev.Close) and command.is_complete for command in commands):
            with suppress(StoreUnavailableError):  # it is only for estimates, and the next one brings it all
                await self._writer.call(self._store.write_durations, self._scheduler.durations.dump())

    def _publish(self, commands: Sequence[ev.Command]) -> None:
        """Tell those who wait, now that the store knows."""
        grants = [self._granted(command.lease) for command in commands if isinstance(command, ev.Grant)]
        self._feed.add(grants, [command.lease for command in commands if isinstance(command, ev.Revoke)])
        for command in commands:
            if isinstance(command, ev.Queue):
                self._feed.note_line()
            elif isinstance(command, ev.Reclaim):
                self._duties.begin(self._reclaim(command.lease, command.cause))

    def _order(self) -> tuple[str, ...]:
        return tuple(self._scheduler.line.first(_MOST_ORDER))

    async def _reclaim(self, lease: Lease, cause: EndCause) -> None:
        """Make sure that the process of an ended lease goes: give it a moment if it was released, none if it was silent."""
        stored = self._holders.leases.get(lease.lease_id)
        if stored is None or not stored.holders:
            await self._holder_gone(lease.lease_id)
        else:
            await self._holders.make_go(stored, _RELEASE_GRACE_S if cause is EndCause.RELEASED else 0.05)

    async def _holder_gone(self, lease_id: str) -> None:
        await self._apply(ev.HolderGone(lease_id))

    async def _set_quarantine(self, device_id: str, reason: str) -> None:
        await self._apply(ev.DeviceQuarantined(device_id, reason) if reason else ev.DeviceRecovered(device_id))

    def _granted(self, lease: Lease) -> GrantedLease:
        accounts = self._scheduler.ledger.accounts
        ids = [portion.device_id for portion in lease.portions]
        return GrantedLease(lease, tuple(LeasePlace(accounts[each].device, self._groups[each]) for each in ids))

    def _expand(self, name: str) -> list[str]:
        accounts = self._scheduler.ledger.accounts
        if name not in set(DeviceKind):
            return [name]
        found = [device_id for device_id, account in accounts.items() if account.device.kind == name]
        if not found:
            raise LimitError(name, f"there is no {name} device here; devices: {', '.join(accounts)}")
        return found

    # --- life ---

    async def _begin(self) -> None:
        """Find the devices, take over the open leases of an earlier life, and begin to tick."""
        await self._survey.begin(self._add)
        for stored in self._store.read_leases():
            self._adopt(stored)
        self._duties.begin(self._tick())
        self._duties.begin(self._survey.watch(self._present, self._add, self._lose))

    async def _add(self, group: DeviceGroup) -> None:
        self._groups[group.device.device_id] = group.group_id
        limits = await asyncio.to_thread(self._store.read_limits)
        await self._apply(ev.DeviceAdded(group.device, limits.get(group.device.device_id)))

    async def _lose(self, device: Device) -> None:
        await self._apply(ev.DeviceLost(device.device_id))

    def _present(self) -> list[Device]:
        return [account.device for account in self._scheduler.ledger.accounts.values() if account.is_present]

    def _adopt(self, stored: StoredLease) -> None:
        """Take over a lease: follow its process if it may live; one that never came up in a Ray that is gone is over.

        The ledger has it at once. What is to be written of it may wait: a store that is full must not keep the accountant from coming back.
        """
        lease_id = stored.lease.lease_id
        stored = self._holders.enter(stored)
        self._duties.begin(self._carry_out(*self._decide(ev.LeaseAdopted(stored.lease, stored.is_ending))))
        if lease_id not in self._holders.leases:
            return
        for watch in self._holders.follow_all(lease_id, self._holder_gone, self._set_quarantine):
            self._duties.begin(watch)
        if not stored.holders and stored.session != self._session:
            self._duties.begin(self._holder_gone(lease_id))

    async def _tick(self) -> None:
        """Measure memory and let silent leases expire."""
        while True:
            await asyncio.sleep(_TICK_S)
            await self._measure_memory()
            await self._apply(ev.Ticked())
            while silent := self._drivers.next_silent(self._scheduler.line.waiting, self._clock.now()):
                await self._apply(ev.RequestWithdrawn(silent))

    async def _measure_memory(self) -> None:
        """Let the scheduler know what the driver says of each GPU that can be seen."""
        for device_id, account in self._scheduler.ledger.accounts.items():
            lease_of_pid = self._holders.local_pids(account.leases)
            budgets = {lease_id: account.portion_of(lease).memory_bytes for lease_id, lease in account.leases.items()}
            split = await self._guard.measure(account.device, lease_of_pid, budgets, now=self._clock.now())
            if split is not None:
                (self._unmatched.discard if split.is_by_pid else self._unmatched.add)(device_id)
                await self._apply(ev.MemoryMeasured(device_id, split.foreign_bytes, split.filled_bytes))
