"""A second set of books over a scheduler, kept from its commands alone, and what must always hold between the two."""

from actors.core import events as ev
from actors.core.model import DeviceKind
from actors.core.placement import choose_gang, find_obstacle, fits_when_empty, is_within_reach
from actors.core.waiting_line import rank_of


class Books:
    """Who waits and who holds, as anybody outside would know it."""

    def __init__(self, scheduler):
        self.scheduler = scheduler
        self.requests = {}  # every request that was accepted, by id, as it is ranked now
        self.waiting = set()
        self.holding = {}  # lease id -> lease
        self.ending = set()  # lease ids being reclaimed
        self.revoked = {}  # lease id -> the request it gives way to
        self.ended = set()
        self.fresh = []  # leases granted by the latest event
        self.last_token = 0

    def knows(self, request_id):
        return request_id in self.waiting or any(lease.request.request_id == request_id for lease in self.holding.values())

    def take_in(self, event, commands):
        self.fresh = []
        match event:
            case ev.LeaseRequested(request) if not any(isinstance(command, ev.Reject) for command in commands):
                self.requests.setdefault(request.request_id, request)
            case ev.RequestWithdrawn(request_id) if request_id in self.waiting:
                self.waiting.discard(request_id)
                self.ended.add(request_id)
        for command in commands:
            self._obey(command)

    def _obey(self, command):
        match command:
            case ev.Grant(lease):
                self._grant(lease)
            case ev.Queue(request_id):
                self.waiting.add(request_id)
            case ev.Revoke(lease, request_id):
                assert lease.request.preemptible, "revoked without its consent"
                assert lease.lease_id not in self.revoked, "revoked twice"
                assert lease.lease_id not in self.ending, "revoked while it ends"
                assert request_id in self.waiting, "revoked for nobody"
                asker = self.scheduler.line.waiting[request_id].request
                assert self.rank(asker) < self.rank(lease.request), "revoked for a worse rank"
                self.revoked[lease.lease_id] = request_id
            case ev.Reclaim(lease):
                assert lease.lease_id in self.holding
                assert lease.lease_id not in self.ending, "reclaimed twice"
                self.ending.add(lease.lease_id)
            case ev.Close(lease):
                del self.holding[lease.lease_id]
                self.ending.discard(lease.lease_id)
                self.revoked.pop(lease.lease_id, None)
                self.ended.add(lease.request.request_id)

    def _grant(self, lease):
        request_id = lease.request.request_id
        if lease.lease_id in self.holding:  # the answer to a repeated request
            assert self.holding[lease.lease_id] == lease
            return
        assert request_id not in self.ended, "granted after its end"
        assert request_id not in {held.request.request_id for held in self.holding.values()}, "granted twice"
        assert lease.token > self.last_token, "a token did not grow"
        self.last_token = lease.token
        self.waiting.discard(request_id)
        self.holding[lease.lease_id] = lease
        self.fresh.append(lease)

    def rank(self, request):
        return rank_of(request, self.scheduler.policy.patience_s)

    def compare(self):
        """Prove that the two sets of books agree and that the rules hold."""
        self.scheduler.validate()
        assert set(self.scheduler.line.waiting) == self.waiting
        assert set(self.scheduler.ledger.entries) == set(self.holding)
        for lease in self.fresh:
            self.prove_fit(lease)
        self._prove_nobody_idles()

    def prove_fit(self, lease):
        """A grant is within every limit and memory, whole, and on one node."""
        accounts = [self.scheduler.ledger.accounts[portion.device_id] for portion in lease.portions]
        assert len({account.device.device_id for account in accounts}) == lease.request.device_count, "not all or nothing"
        assert len({account.device.node_id for account in accounts}) == 1, "a gang over two nodes"
        for account in accounts:
            assert account.is_present
            assert not account.quarantine
            assert account.counts[lease.request.work] <= account.limits[lease.request.work]
            assert account.device.kind is DeviceKind.CPU or account.free_bytes >= 0, "more memory promised than there is"

    def _prove_nobody_idles(self):
        """Nobody waits who could start without taking what a better-ranked one waits for."""
        for account in self.scheduler.ledger.accounts.values():
            if not account.is_present or account.quarantine:
                continue
            held_back = set()
            for request in sorted(self._queue_heads(account), key=self.rank):
                if request.work in held_back:
                    continue
                obstacle = self._obstacle(request, account)
                assert obstacle != "none", f"{request} could start on {account.device.device_id}"
                if obstacle == "limit":
                    held_back.add(request.work)
                elif obstacle == "everything":
                    break

    def _queue_heads(self, account):
        best = {}
        place = self._place_of(account)
        for entry in self.scheduler.line.waiting.values():
            request = entry.request
            if not self._is_large_enough(account, place if request.device_count > 1 else [account], request):
                continue
            if request.selector in (account.device.kind.value, account.device.device_id):
                key = (request.work, request.selector, request.device_count)
                best[key] = min(best.get(key, request), request, key=self.rank)
        return best.values()

    def _place_of(self, account):
        """The devices of the same kind on the same node."""
        here = (account.device.node_id, account.device.kind)
        accounts = self.scheduler.ledger.accounts.values()
        return [other for other in accounts if (other.device.node_id, other.device.kind) == here]

    def _is_large_enough(self, account, place, request):
        """Whether others leave an explicit budget enough of so many devices."""
        if request.device_count > 1 and (request.memory_bytes or account.foreign_bytes):
            return sum(is_within_reach(each, request, self.scheduler.policy) for each in place) >= request.device_count
        policy = self.scheduler.policy
        return sum(fits_when_empty(each, request, policy) for each in place) >= request.device_count

    def _is_open_to(self, account, request):
        """Whether no better-ranked request is waited for on a device at this one's expense."""
        for other in sorted(self._queue_heads(account), key=self.rank):
            if self.rank(other) >= self.rank(request):
                break
            obstacle = self._obstacle(other, account)
            if obstacle in ("none", "everything") or (obstacle == "limit" and other.work is request.work):
                return False
        return True

    def _obstacle(self, request, account):
        """none, limit (its own kind waits with it), everything (all wait with it), or nothing (it is not waited for)."""
        policy = self.scheduler.policy
        place = self._place_of(account) if request.device_count > 1 else [account]
        open_places = [each for each in place if each is account or self._is_open_to(each, request)]
        if choose_gang(open_places, request, policy):
            return "none"
        obstacles = {find_obstacle(other, request, policy) for other in place if is_within_reach(other, request, policy)}
        if request.device_count > 1:
            if sum(is_within_reach(other, request, policy) for other in place) < request.device_count:
                return "nothing"
            return "limit" if obstacles <= {None, ev.WaitReason.LIMIT} else "everything"
        if find_obstacle(account, request, policy) is ev.WaitReason.LIMIT:
            return "limit"
        return "everything" if obstacles else "nothing"
