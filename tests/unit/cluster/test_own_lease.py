"""A program's own lease: who was suspended in line goes on, and actors that share a lease divide all of it."""

import pytest

from actors.core.errors import DuplicateRequestError
from actors.core.model import GIB, HolderKind, LeaseRequest, WorkKind
from actors.driver_keeper import MEMORY_NAME
from actors.messages import Queued
from cluster.lease import DriverLease, _Office
from configs.settings import Settings


@pytest.fixture
def office():
    wish = LeaseRequest("mine.1", "mine.1", WorkKind.INFERENCE, "cuda", 2, 7.0, holder=HolderKind.DRIVER, profile="mine")
    return _Office(wish, Settings())


def test_a_request_that_was_dropped_for_silence_is_made_anew_with_its_rank(office, monkeypatch):
    asked = []

    def answer(_method, request):
        asked.append(request)
        if request.request_id == "mine.1":
            raise DuplicateRequestError(request.request_id, "the id was used before for another request")
        return Queued(request.request_id, "limit")

    monkeypatch.setattr(office, "_ask", answer)
    assert isinstance(office._acquire(), Queued)
    office._acquire()
    _, again, repeated = asked
    assert again == repeated
    assert again.request_id == again.task_id != "mine.1"
    assert (again.priority, again.submitted_at, again.profile) == (2, 7.0, "mine")


def test_actors_that_share_a_lease_divide_its_fraction_and_its_memory():
    variables = {MEMORY_NAME: str(3 * GIB), "RFUAV_LEASE": "x"}
    options = {"num_gpus": 0.1, "num_cpus": 0, "max_restarts": 0, "runtime_env": {"env_vars": variables}}
    each = DriverLease("mine", "cuda:0", 0.1, 3 * GIB, True, variables, options).options_for(3)
    assert each["runtime_env"]["env_vars"] == {**variables, MEMORY_NAME: str(GIB)}
    assert (each["num_gpus"], each["max_restarts"]) == (0.0333, 0)
