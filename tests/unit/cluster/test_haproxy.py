"""How Ray is told to put HAProxy in front: no file and no port that two services would share."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from cluster.haproxy import PROGRAM, HaproxyMissingError, end_orphans, haproxy_environment, require_haproxy, write_start
from cluster.processes import MARK
from cluster.ray_head import head_environment, temp_dir_of
from configs.settings import Settings, SettingsError
from tests.small_disk import small_disk


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that stands in for HAProxy where its version is asked for."""
    path = tmp_path / "haproxy"
    path.write_text("#!/bin/sh\necho HAProxy version 2.8\n")
    path.chmod(0o755)
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(path))
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, port=9000, nodes="several")


def test_every_file_of_haproxy_lies_in_rays_folder_and_the_program_where_it_can_be_started(program, settings):
    environ = haproxy_environment(settings, Path("/tmp/rfuav-0123456789ab"))
    assert environ.pop("RAY_SERVE_HAPROXY_BINARY_PATH") == str(settings.state_dir / "run/ha/haproxy")
    places = [value for name, value in environ.items() if name.endswith(("_LOC", "_PATH", "_BASE", "_FILE", "_TARGET"))]
    assert len(places) == 6
    assert [value for value in places if not value.startswith("/tmp/rfuav-0123456789ab/")] == []


def test_where_no_ingress_lives_haproxy_answers_that_a_submission_may_be_repeated_under_its_name(program, tmp_path):
    program.write_text('#!/bin/sh\necho "$@"\n')
    node, state = tmp_path / "ha" / "node", tmp_path / "state"
    write_start(state, tmp_path)
    node.mkdir()
    (node / "500.http").write_text("HTTP/1.1 500 Internal Server Error\r\n\r\n")
    command = [str(state / "run/ha/haproxy"), "-db", "-f", str(node / "haproxy.cfg"), "-sf", "7"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert told == command[1:]
    head, _, body = (node / "500.http").read_bytes().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert f"Content-Length: {len(body)}".encode() in head.split(b"\r\n")
    answer = json.loads(body)
    assert (answer["code"], "repeat it with the same task_id" in answer["message"]) == ("not_ready", True)
    assert b"Retry-After" not in head, "what may have been carried out is not simply sent again"


def test_a_state_folder_in_which_nothing_can_be_started_is_refused(program, tmp_path):
    with small_disk(tmp_path / "disk", options="noexec") as disk, pytest.raises(SettingsError, match=r"RFUAV_STATE_DIR.*noexec"):
        write_start(disk, tmp_path)


def test_haproxy_is_looked_for_before_anything_is_started(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(tmp_path / "none"))
    with pytest.raises(HaproxyMissingError):
        haproxy_environment(settings, Path("/tmp/x"))


def test_every_port_differs_and_the_services_own_is_left_to_haproxy(program, settings):
    environ = haproxy_environment(settings, Path("/tmp/x"))
    ports = [value for name, value in environ.items() if name.endswith("_PORT") and "MAX" not in name]
    assert len(ports) == len(set(ports)) == 5
    assert "9000" not in ports


def test_a_head_for_several_nodes_turns_haproxy_on_and_one_for_itself_does_not(program, settings, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/tmp")
    several = head_environment({"PATH": "/usr/bin"}, settings)
    one = head_environment({"PATH": "/usr/bin"}, settings.model_copy(update={"nodes": "one"}))
    assert several["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert not [name for name in one if "HA_PROXY" in name or "HAPROXY" in name]


def test_a_missing_haproxy_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(tmp_path / "none"))
    with pytest.raises(HaproxyMissingError, match=r"needs HAProxy.*none.*install"):
        require_haproxy()


def test_a_haproxy_that_does_not_run_is_missing_too(program):
    program.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(HaproxyMissingError, match="install"):
        require_haproxy()


def test_a_folder_too_long_for_sockets_is_refused_by_the_setting_that_makes_it(program, settings):
    with pytest.raises(SettingsError, match="TMPDIR"):
        haproxy_environment(settings, Path("/a/folder/with/a/rather/long/name") / temp_dir_of(settings.state_dir).name)


@pytest.mark.parametrize(("keeper_has_mark", "is_ended"), [(False, True), (True, False)])
def test_only_a_haproxy_whose_keeper_is_gone_is_ended(tmp_path: Path, keeper_has_mark, is_ended):
    mark = f"test-{tmp_path.name}-{keeper_has_mark}"
    program = tmp_path / PROGRAM
    shutil.copy(shutil.which("sleep"), program)
    keeper = ["sh", "-c", f"{MARK}={mark} {program} 60 & echo $!; read line"]
    environ = os.environ | ({MARK: mark} if keeper_has_mark else {})
    with subprocess.Popen(keeper, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        kept = psutil.Process(int(process.stdout.readline()))
        while kept.name() != PROGRAM:  # between the shell's fork and its exec
            os.sched_yield()
        assert end_orphans(mark) == ([kept.pid] if is_ended else [])
        kept.kill()
        process.stdin.close()
