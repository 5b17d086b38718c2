"""A process that holds a lease, for tests of the accountant."""

import ray

from actors.names import ACCOUNTANT, NAMESPACE
from actors.presence import own_presence


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
