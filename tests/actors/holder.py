"""A process that holds a lease, for tests of the accountant."""

import subprocess
import sys

import ray

from actors.names import ACCOUNTANT, NAMESPACE
from actors.presence import own_presence
from actors.process_group import lead_own_group

#: A child that only SIGKILL ends.
_DEAF = "import signal; [signal.signal(n, signal.SIG_IGN) for n in (15, 1)]; print('here', flush=True); signal.pause()"


class Holder:
    """Binds the lease it is given to its own process and does nothing with it."""

    def bind(self, granted):
        accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
        node_id = ray.get_runtime_context().get_node_id()
        presence = own_presence()
        ray.get(accountant.bind.remote(granted.lease.lease_id, granted.lease.token, node_id, presence))
        return presence.pid

    def gpu_index(self):
        return int(ray.get_runtime_context().get_accelerator_ids()["GPU"][0])


class Family(Holder):
    """A holder that leads a process group, as attempts do, and has a child in it."""

    def __init__(self):
        lead_own_group()
        self._child = None

    def start_child(self):
        self._child = subprocess.Popen([sys.executable, "-c", _DEAF], stdout=subprocess.PIPE)
        self._child.stdout.readline()
        return self._child.pid
