"""``rfuav keys`` on a store that no service uses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from actors.access import Role
from actors.access_store import AccessStore
from actors.presence import own_presence
from cluster.cli import app
from cluster.commands.exits import ExitCode
from cluster.keys_command import has_keys
from cluster.local import page_url
from cluster.run_record import ServiceRecord, write_record
from configs.settings import Settings, load_settings

runner = CliRunner()


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*args: object, code: int = 0):
    result = runner.invoke(app, [str(each) for each in args])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def add(role="viewer", name="n", *more):
    return json.loads(run("keys", "add", "--role", role, "--name", name, "--json", *more).stdout)


def open_store() -> AccessStore:
    return AccessStore(load_settings().database_url)


def test_a_key_is_printed_alone_so_that_a_script_can_take_it():
    token = run("keys", "add", "--role", "admin", "--name", "me").stdout.strip()
    key = open_store().read_keys().find(token)
    assert key is not None
    assert (key.name, key.role) == ("me", Role.ADMIN)


def test_keys_are_listed_without_what_would_let_anybody_use_them():
    first, second = add("admin", "a"), add("viewer", "b b")
    listed = run("keys", "list", "--json").stdout
    assert [(key["key_id"], key["role"], key["name"]) for key in json.loads(listed)] == [
        (first["key_id"], "admin", "a"),
        (second["key_id"], "viewer", "b b"),
    ]
    assert set(json.loads(listed)[0]) == {"key_id", "name", "role", "created_at"}
    assert "b b" in run("keys", "list").stdout


def test_a_key_can_be_revoked_the_last_admins_too():
    key = add("admin")
    assert json.loads(run("keys", "revoke", key["key_id"], "--json").stdout) == {"key_id": key["key_id"], "keys_left": 0}
    assert open_store().read_keys().find(key["key"]) is None
    assert "keys list" in run("keys", "revoke", key["key_id"], code=ExitCode.BAD_INPUT).stderr


def test_every_change_is_in_the_audit_log():
    key = add("operator", "cam")
    run("keys", "revoke", key["key_id"])
    entries = open_store().read_audit(before=None, limit=9).entries
    said = f"{key['key_id']} (operator cam)"
    assert [(each.key_name, each.action, each.subject) for each in entries] == [
        ("command line", "revoke_key", said),
        ("command line", "add_key", said),
    ]


def test_the_state_folder_and_the_config_file_say_where_the_keys_are(tmp_path: Path):
    add("viewer", "n", "--state-dir", tmp_path / "other")
    assert has_keys(Settings(state_dir=tmp_path / "other"))
    (tmp_path / "profile.yaml").write_text(f"state_dir: {tmp_path / 'other'}\n")
    assert len(json.loads(run("keys", "list", "--json", "--config", tmp_path / "profile.yaml").stdout)) == 1
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_looking_for_keys_makes_no_store(tmp_path: Path):
    assert "no keys" in run("keys", "list").stdout
    assert "keys add" in run("up", "--host", "0.0.0.0", code=ExitCode.BAD_INPUT).stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", [("--role", "root", "--name", "n"), ("--role", "admin", "--name", " "), ("--role", "admin")])
def test_a_key_without_a_role_or_a_name_is_refused(args):
    run("keys", "add", *args, code=ExitCode.BAD_INPUT)


def test_a_store_that_cannot_be_used_is_told_plainly(tmp_path: Path):
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "store.sqlite").write_bytes(b"this is no database" * 100)
    assert "not a database" in run("keys", "list", code=ExitCode.NOT_UP).stderr
    assert "not a database" in run("up", "--host", "0.0.0.0", code=ExitCode.BAD_INPUT).stderr
    (tmp_path / "file").touch()
    run("keys", "add", "--role", "admin", "--name", "n", "--state-dir", tmp_path / "file" / "x", code=ExitCode.NOT_UP)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/"),
        ("0.0.0.0", "http://127.0.0.1:8000/"),
        ("::", "http://[::1]:8000/"),
        ("192.168.1.5", "http://192.168.1.5:8000/"),
    ],
)
def test_a_service_on_every_address_is_reached_on_loopback(host, url):
    assert page_url(Settings(host=host)) == url


@pytest.mark.parametrize(("options", "words"), [((), "this machine"), (("--config", "several.yaml"), "answers nobody")])
def test_after_the_last_key_it_is_told_whom_the_service_answers(tmp_path: Path, options, words):
    (tmp_path / "several.yaml").write_text("nodes: several\n")
    key = add("admin")
    assert words in run("keys", "revoke", key["key_id"], *options).stdout
    assert words in run("keys", "list", *options).stdout


def test_a_service_of_several_nodes_that_is_up_is_known_by_its_record(tmp_path: Path):
    write_record(tmp_path / "var", ServiceRecord("http://h/", 0.0, own_presence(), None, "h:1", "", "", "", True, nodes="several"))
    key = add("admin")
    assert "answers nobody" in run("keys", "revoke", key["key_id"]).stdout
