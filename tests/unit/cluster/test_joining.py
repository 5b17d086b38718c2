"""What a machine needs to join a service, and what it is told where something is missing."""

import socket
from pathlib import Path

import pytest

from actors.home import Home
from cluster.join import Joining, join, node_command, refuse_missing_folders
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
