"""What is said about a service from what it left on disk."""

from pathlib import Path

import pytest

from actors.presence import Presence, announce, own_presence
from cluster.bring_down import UP
from cluster.ports import find_free_port
from cluster.run_record import NodeRecord, ServiceRecord, remove_record, write_node, write_record
from cluster.status import read_status, shell_exports

GONE = Presence(1, 0.0)


def write(state_dir: Path, **changes: object) -> None:
    fields = {
        "url": f"http://127.0.0.1:{find_free_port()}/",
        "started_at": 1.5,
        "keeper": own_presence(),
        "head": own_presence(),
        "ray_address": "10.0.0.1:6379",
        "dashboard_url": "http://127.0.0.1:8265",
        "token_path": "/state/ray_token",
        "temp_dir": "/tmp/rfuav-abc",
        "started_serve": True,
        "processes": (own_presence(),),
    }
    write_record(state_dir, ServiceRecord(**(fields | changes)))


@pytest.mark.parametrize("changes", [None, {"processes": ()}])
def test_a_service_is_starting_until_its_up_has_got_it_ready(tmp_path: Path, changes):
    announce(tmp_path, UP)
    if changes is not None:
        write(tmp_path, **changes)
    assert read_status(tmp_path).state == "starting"


def test_a_service_whose_ray_has_ended_is_down(tmp_path: Path):
    write(tmp_path, head=GONE)
    status = read_status(tmp_path)
    assert status.state == "down"
    assert "rfuav down" in status.reason


def test_a_service_that_lost_its_keeper_says_so(tmp_path: Path):
    write(tmp_path, keeper=GONE)
    assert "killed" in read_status(tmp_path).reason


def test_a_service_that_does_not_answer_is_unreachable(tmp_path: Path):
    write(tmp_path)
    assert read_status(tmp_path).state == "unreachable"


def test_an_adopted_ray_shows_in_how_http_arrives_and_brings_no_token(tmp_path: Path):
    write(tmp_path, head=None, token_path="", dashboard_url="")
    assert "adopted" in read_status(tmp_path).http_mode
    exports = shell_exports(tmp_path, path="/usr/bin")
    assert exports is not None
    assert not {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "RAY_API_SERVER_ADDRESS"} & set(exports)
    assert exports["RAY_ADDRESS"] == "10.0.0.1:6379"


@pytest.mark.parametrize(("raylet", "state", "word"), [(own_presence(), "joined", "cuda:1"), (GONE, "down", "rfuav down")])
def test_a_node_of_another_machines_service_says_what_it_joined(tmp_path: Path, raylet, state, word):
    write_node(tmp_path, NodeRecord("10.0.0.1:6379", "lab-2", ("cuda:1", "cpu:1"), raylet))
    status = read_status(tmp_path)
    assert (status.state, status.is_healthy) == (state, state == "joined")
    assert word in status.reason
    remove_record(tmp_path)
    assert read_status(tmp_path).state == "down"


def test_a_service_on_several_machines_says_how_http_arrives(tmp_path: Path):
    write(tmp_path, nodes="several")
    assert "HAProxy" in read_status(tmp_path).http_mode
