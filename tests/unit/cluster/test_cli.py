"""The command line without a service: what it accepts, refuses and says."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.presence import Presence, own_presence
from cluster import join, local
from cluster.cli import app
from cluster.commands.exits import ExitCode
from cluster.run_record import NodeRecord, ServiceRecord, write_node, write_record

runner = CliRunner()


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*args: object):
    return runner.invoke(app, [str(each) for each in args])


def assert_refused(result, *words: str):
    assert result.exit_code == ExitCode.BAD_INPUT, result.output
    assert result.stderr.startswith("rfuav: ")
    assert "Traceback" not in result.output
    for word in words:
        assert word in result.stderr


def test_without_arguments_the_commands_are_listed():
    assert all(name in run("--help").output for name in ("up", "down", "status", "env"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])
def test_a_host_that_others_can_reach_is_refused_without_keys(host):
    assert_refused(run("up", "--host", host), host, "keys", "127.0.0.1")


def test_a_port_in_use_is_refused_with_a_remedy():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert_refused(run("up", "--port", port), str(port), "--port")


def test_a_setting_out_of_bounds_is_named_with_its_value():
    assert_refused(run("up", "--port", 70000), "port", "70000")
    assert_refused(run("up", "--simulate-gpus", -1), "simulate_gpus", "-1")


def test_an_unknown_key_in_the_config_file_is_an_error(tmp_path: Path):
    (tmp_path / "profile.yaml").write_text("prot: 8000\n")
    assert_refused(run("up", "--config", tmp_path / "profile.yaml"), "prot")


def test_a_missing_config_file_is_named():
    assert_refused(run("up", "--config", "nowhere.yaml"), "nowhere.yaml")


def test_a_state_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    assert_refused(run("up", "--state-dir", tmp_path / "file" / "state"), str(tmp_path / "file"), "--state-dir")


def test_down_with_nothing_up_succeeds_and_says_so():
    result = run("down")
    assert result.exit_code == 0
    assert "nothing was up" in result.output


def test_scripts_are_told_in_one_object_what_has_ended(tmp_path: Path):
    nothing = {"url": "", "state_dir": str(tmp_path / "var"), "ray_address": "", "dashboard": ""}
    assert json.loads(run("down", "--json").stdout) == {"was_up": False} | nothing
    write_record(tmp_path / "var", make_record(temp_dir=""))
    told = json.loads(run("down", "--json").stdout)
    assert (told["was_up"], told["url"]) == (True, "http://127.0.0.1:8123/")


@pytest.mark.parametrize("command", [("up",), ("join", "h:1")])
def test_json_is_for_what_returns(command):
    assert_refused(run(*command, "--json"), "--detach")


def test_scripts_are_told_in_one_object_where_the_service_is_and_people_beside_it_how_it_went(tmp_path: Path, monkeypatch):
    def up(settings, *, say, **_):
        say("starting Ray")
        write_record(settings.state_dir, make_record())

    monkeypatch.setattr(local, "up", up)
    result = run("up", "--detach", "--json")
    assert json.loads(result.stdout) == {
        "url": "http://127.0.0.1:8123/",
        "state_dir": str(tmp_path / "var"),
        "ray_address": "10.0.0.1:6379",
        "dashboard": "http://127.0.0.1:8265",
    }
    assert result.stderr == "starting Ray\n"


def test_scripts_are_told_in_one_object_what_was_joined(tmp_path: Path, monkeypatch):
    def take_part(wanted, *, say, **_):
        say("joining")
        write_node(wanted.state_dir, NodeRecord(wanted.head, "lab-2", ("cpu:1",), own_presence()))

    monkeypatch.setattr(join, "join", take_part)
    result = run("join", "10.0.0.1:6379", "--detach", "--json")
    told = {"url": "", "state_dir": str(tmp_path / "var"), "ray_address": "10.0.0.1:6379", "dashboard": ""}
    assert (json.loads(result.stdout), result.stderr) == (told, "joining\n")


def test_status_with_nothing_up_is_down_and_not_a_success():
    assert run("status").exit_code == ExitCode.NOT_UP
    assert json.loads(run("status", "--json").output)["state"] == "down"


def test_env_with_nothing_up_prints_nothing_to_evaluate():
    result = run("env")
    assert result.exit_code == ExitCode.NOT_UP
    assert result.stdout == ""
    assert "rfuav up" in result.stderr


def test_a_live_service_of_the_folder_is_not_started_twice(tmp_path: Path):
    write_record(tmp_path / "var", make_record(head=own_presence()))
    assert_refused(run("up", "--detach"), "http://127.0.0.1:8123/", "rfuav down")


def test_env_quotes_what_a_shell_would_split(tmp_path: Path):
    write_record(tmp_path / "my state", make_record(token_path=str(tmp_path / "my state" / "ray_token")))
    lines = run("env", "--state-dir", tmp_path / "my state").stdout.splitlines()
    assert f"export RAY_AUTH_TOKEN_PATH='{tmp_path}/my state/ray_token'" in lines
    assert "export RFUAV_URL=http://127.0.0.1:8123" in lines
    assert "export RAY_API_SERVER_ADDRESS=http://127.0.0.1:8265" in lines


def make_record(**changes: object) -> ServiceRecord:
    fields = {
        "url": "http://127.0.0.1:8123/",
        "started_at": 1.5,
        "keeper": own_presence(),
        "head": Presence(1, 0.0),
        "ray_address": "10.0.0.1:6379",
        "dashboard_url": "http://127.0.0.1:8265",
        "token_path": "/state/ray_token",
        "temp_dir": "/tmp/rfuav-abc",
        "started_serve": True,
    }
    return ServiceRecord(**(fields | changes))
