"""Replicas report themselves to the accountant on a real Ray; here a plain actor does so in a replica's place."""

import os
import signal
import uuid

import pytest
import ray

from actors.core.model import GIB, DeviceKind
from actors.messages import LoadedModel
from tests.actors.speaker import Speaker
from tests.actors.waiting import wait_for


@pytest.fixture
def speaker(service):
    actor = ray.remote(Speaker).options(num_gpus=0.125, num_cpus=0).remote(uuid.uuid4().hex[:8])
    yield actor
    ray.kill(actor)


def replicas_on(accountant, device_id):
    view = ray.get(accountant.view.remote())
    return next(each.replicas for each in view.devices if each.device.device_id == device_id)


def test_a_replica_learns_its_device_and_is_shown_there_until_its_process_is_gone(accountant, speaker):
    models = (LoadedModel("drones", 1, "float32", GIB, requests=3),)
    device = ray.get(speaker.speak.remote(models=models, ongoing=2))
    assert (device.kind, device.simulated) == (DeviceKind.GPU, True)
    (shown,) = replicas_on(accountant, device.device_id)
    assert (shown.models, shown.ongoing, shown.presence.pid) == (models, 2, ray.get(speaker.pid.remote()))
    os.kill(shown.presence.pid, signal.SIGKILL)
    wait_for(lambda: not replicas_on(accountant, device.device_id), deadline_s=5, what="the replica's end in the view")


def test_after_the_accountant_was_killed_replicas_are_known_again_when_they_speak(accountant, speaker):
    device = ray.get(speaker.speak.remote())
    os.kill(ray.get(accountant.pid.remote()), signal.SIGKILL)
    again = wait_for(lambda: speak_again(speaker), deadline_s=30, what="an answer of the new accountant")
    assert again == device
    assert len(replicas_on(accountant, device.device_id)) == 1


def speak_again(speaker):
    try:
        return ray.get(speaker.speak.remote())
    except ray.exceptions.RayError:
        return None


def test_one_that_says_it_is_a_replica_and_is_none_of_serves_is_a_difference_in_the_books(accountant, speaker):
    ray.get(speaker.speak.remote())
    report = ray.get(accountant.check_books.remote())
    assert not report.agrees
    assert any(each.found == "not alive in Ray" for each in report.differences)


def test_the_allowance_is_what_the_serving_shares_carry(accountant):
    allowance = ray.get(accountant.serving_allowance.remote())
    assert (allowance.kind, allowance.replica_units, allowance.most_replicas) == (DeviceKind.GPU, 1_250, 4)
    cpus = ray.get(accountant.serving_allowance.remote(DeviceKind.CPU))
    assert (cpus.most_replicas, cpus.device_cores) == (2, 2)
