"""What a machine needs to join a service, and what it is told where something is missing."""

import os
import socket
from pathlib import Path

import pytest

from actors.home import Home
from actors.presence import own_presence
from cluster.join import Joining, _take_token, join, node_command, refuse_lone_service, refuse_missing_folders
from cluster.ray_head import token_path
from cluster.run_record import ServiceRecord, read_record, write_record
from configs.settings import Settings, SettingsError


@pytest.fixture
def head():
    """The address of somebody who listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def quietly(_line: str) -> None:
    """Say nothing."""


@pytest.mark.parametrize("address", ["", "here", "127.0.0.1", "127.0.0.1:x", ":6379"])
def test_what_is_no_address_is_refused(tmp_path: Path, address: str):
    with pytest.raises(SettingsError, match="no HOST:PORT"):
        join(Joining(address, tmp_path), detach=True, say=quietly)


def test_a_head_that_does_not_answer_is_named(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1:1: .*rfuav status"):
        join(Joining("127.0.0.1:1", tmp_path), detach=True, say=quietly)


def test_a_node_without_the_token_is_told_where_it_is(tmp_path: Path, head: str):
    with pytest.raises(SettingsError, match=r"ray_token.*--token-file"):
        join(Joining(head, tmp_path / "node"), detach=True, say=quietly)


def test_an_empty_token_is_refused(tmp_path: Path, head: str):
    (tmp_path / "token").write_text("\n")
    with pytest.raises(SettingsError, match="is empty"):
        join(Joining(head, tmp_path / "node", tmp_path / "token"), detach=True, say=quietly)


def test_the_state_folder_of_a_service_is_no_nodes(tmp_path: Path, head: str):
    (tmp_path / "store.sqlite").touch()
    with pytest.raises(SettingsError, match="folder of its own"):
        join(Joining(head, tmp_path), detach=True, say=quietly)


def test_the_state_folder_of_a_service_with_another_store_is_no_nodes_either(tmp_path: Path, head: str):
    record = ServiceRecord("http://h/", 0.0, own_presence(), None, "h:1", "", "", "", started_serve=True, nodes="several")
    write_record(tmp_path, record)
    with pytest.raises(SettingsError, match="folder of its own"):
        join(Joining(head, tmp_path), detach=True, say=quietly)
    assert read_record(tmp_path) == record


def test_a_service_of_one_machine_is_not_joined(tmp_path: Path):
    with pytest.raises(SettingsError, match=r"h:1 .*--nodes several"):
        refuse_lone_service(Home(Settings(state_dir=tmp_path), "node"), "h:1")
    refuse_lone_service(Home(Settings(state_dir=tmp_path, nodes="several"), "node"), "h:1")


def test_the_copy_of_the_token_is_nobody_elses_from_its_first_byte_on(tmp_path: Path, monkeypatch):
    (tmp_path / "token").write_text("0123\n")
    monkeypatch.setattr(Path, "chmod", lambda *_: pytest.fail("it was open before"))
    old = os.umask(0)
    try:
        _take_token(Joining("h:1", tmp_path, tmp_path / "token"))
    finally:
        os.umask(old)
    copy = token_path(tmp_path)
    assert (copy.read_text(), copy.stat().st_mode & 0o777) == ("0123", 0o600)


def test_a_folder_of_the_service_that_is_not_here_is_named(tmp_path: Path):
    home = Home(Settings(state_dir=tmp_path, data_roots=(tmp_path, tmp_path / "far")), "node")
    with pytest.raises(SettingsError, match="far of the service is not on this machine"):
        refuse_missing_folders(home)


def test_a_node_keeps_its_name_and_two_on_one_machine_have_different_ones(tmp_path: Path):
    first, second = Joining("h:1", tmp_path / "a"), Joining("h:1", tmp_path / "b")
    assert first.node_name == Joining("other:2", tmp_path / "a").node_name
    assert first.node_name != second.node_name
    assert Joining("h:1", tmp_path, name="lab-2").node_name == "lab-2"


def test_simulated_gpus_are_said_to_be_and_real_ones_are_left_to_ray_to_count(tmp_path: Path):
    simulated = node_command(Joining("h:1", tmp_path, simulate_gpus=2, name="n"), Path("/tmp/x"))
    real = node_command(Joining("h:1", tmp_path, name="n"), Path("/tmp/x"))
    assert {"--num-gpus=2", "--labels=rfuav.name=n,rfuav.simulated=True", "--address=h:1"} <= set(simulated)
    assert "--labels=rfuav.name=n,rfuav.simulated=False" in real
    assert not [word for word in real if word.startswith("--num-gpus")]
