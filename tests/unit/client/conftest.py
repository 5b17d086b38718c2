"""Each test of a client runs with both."""

import pytest

from tests.unit.client.both import Awaiting, Blocking


@pytest.fixture(params=[Blocking, Awaiting], ids=["blocking", "awaiting"])
def make_client(request):
    """Makes a client whose requests a function answers, with a time that only its pauses move on."""
    return request.param


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("RFUAV_URL", "RFUAV_API_KEY"):
        monkeypatch.delenv(name, raising=False)
