import pytest

from tests.unit.online.versions import Engines, Gate, write_version


@pytest.fixture
def engines():
    made = Engines()
    yield made
    made.close()


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("model"))


@pytest.fixture
def gate(monkeypatch):
    made = Gate(monkeypatch)
    yield made
    made.open()
