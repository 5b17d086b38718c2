"""A process that says it is a replica, for tests of the accountant."""

import os

import ray

from actors.core.model import GIB, DeviceKind
from actors.messages import ReplicaReport
from actors.names import ACCOUNTANT, NAMESPACE
from actors.presence import own_presence


class Speaker:
    """Tells the accountant where it is, as replicas do."""

    def __init__(self, replica_id):
        self._replica_id = replica_id

    def speak(self, **parts):
        context = ray.get_runtime_context()
        gpu_index = int(context.get_accelerator_ids()["GPU"][0])
        report = ReplicaReport(
            self._replica_id, context.get_node_id(), DeviceKind.GPU, gpu_index, own_presence(), GIB, 3 * GIB, **parts
        )
        return ray.get(ray.get_actor(ACCOUNTANT, namespace=NAMESPACE).report_replica.remote(report))

    def pid(self):
        return os.getpid()
