"""The holder's side of a lease: bind it, keep it alive, and stop when it is lost."""

import threading
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from actors.clock import SystemClock
from actors.core.errors import LeaseError, LeaseExpiredError
from actors.core.model import Lease
from actors.names import ACCOUNTANT, NAMESPACE
from actors.presence import own_presence

_ANSWER_S = 10.0
_PAUSE_S = 0.5


class LeaseKeeper:
    """Keeps one lease alive from a thread of its own, so that long computations do not lose it.

    Invariant: ``on_lost`` is called once, as soon as the accountant refuses a renewal, or when no renewal has succeeded for a whole
    time to live; the holder must then end, since its units may be in other hands.
    """

    def __init__(self, lease: Lease, *, every_s: float, ttl_s: float, on_lost: Callable[[str], None]) -> None:
        self._lease = lease
        self._every_s = every_s
        self._ttl_s = ttl_s
        self._on_lost = on_lost
        self._clock = SystemClock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def begin(self) -> None:
        """Bind the lease to this process and start to renew it.

        Raises:
            LeaseNotFoundError, LeaseExpiredError: the lease is not this attempt's any more, or the accountant did not say that it
                is for a whole time to live.
        """
        bind_process(self._lease.lease_id, self._lease.token, patience_s=self._ttl_s)
        self._thread.start()

    def end(self, *, after_s: float = 0.0) -> None:
        """Stop to renew, now or after a while; the lease then ends by release, or by itself."""
        if after_s <= 0:
            self._ended.set()
            return
        later = threading.Timer(after_s, self._ended.set)
        later.daemon = True
        later.start()

    def _run(self) -> None:
        renewed_at = self._clock.now()
        while not self._ended.wait(self._every_s):
            try:
                ask_accountant("renew", self._lease.lease_id, self._lease.token)
                renewed_at = self._clock.now()
            except LeaseError as error:
                self._lose(str(error))
            except (RayError, ValueError) as error:  # the accountant is away; it may come back in time
                if self._clock.now() - renewed_at > self._ttl_s:
                    self._lose(f"no renewal for {self._ttl_s:.0f} s: {error}")

    def _lose(self, reason: str) -> None:
        self._ended.set()
        self._on_lost(reason)


def bind_process(lease_id: str, token: int, *, patience_s: float) -> None:
    """Name this process to the accountant, again until it answers: it may be away for a moment, or the machine very busy.

    Raises:
        LeaseNotFoundError, LeaseExpiredError: the lease is over, or nobody said for ``patience_s`` that it is not; do not begin.
    """
    node_id = ray.get_runtime_context().get_node_id()
    clock, pause = SystemClock(), threading.Event()
    begun_at = clock.now()
    while True:
        try:
            ask_accountant("bind", lease_id, token, node_id, own_presence())
        except LeaseError:
            raise
        except (RayError, ValueError):
            if clock.now() - begun_at > patience_s:
                raise LeaseExpiredError(lease_id) from None
            pause.wait(_PAUSE_S)
        else:
            return


def ask_accountant(method: str, *args: Any) -> Any:
    """Ask the accountant once. Raises what it raised, RayError, and ValueError where there is none."""
    accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
    return ray.get(getattr(accountant, method).remote(*args), timeout=_ANSWER_S)
