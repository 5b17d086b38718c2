"""A program as users write it: takes a lease, runs an actor of its own in it, once to the end and once until it is killed."""

import json
import os
import time

import ray

from cluster.lease import lease


class Worker:
    def pid(self):
        return os.getpid()

    def environment(self):
        return {name: value for name, value in os.environ.items() if name.startswith("RFUAV_LEASE")}


def hold(name):
    """Take a lease, say who holds it, and wait for a line on standard input."""
    with lease("cuda", memory_gb=2, priority=2, name=name) as held:
        actor = ray.remote(Worker).options(**held.actor_options).remote()
        pid, environment = ray.get([actor.pid.remote(), actor.environment.remote()])
        said = {"holder": held.holder, "device": held.device, "fraction": held.fraction, "pid": pid, "environment": environment}
        print(json.dumps(said), flush=True)  # noqa: T201 - the test reads it
        input()
    print(json.dumps({"left": name}), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    hold("first")
    hold("second")
    time.sleep(600)
