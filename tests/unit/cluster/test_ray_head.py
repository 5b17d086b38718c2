"""How our own Ray is started: its command, its environment, its token, its folder."""

import os
from pathlib import Path

import pytest

from cluster.jobs import service as job_service
from cluster.processes import MARK, instance_mark
from cluster.ray_head import (
    HeadStart,
    RayStartError,
    driver_environment,
    ensure_token,
    head_command,
    head_environment,
    keep_logs,
    make_temp_dir,
    remove_temp_dir,
    temp_dir_of,
)
from configs.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, port=9000)


def test_every_port_is_the_kernels_choice_and_the_dashboard_is_local(settings):
    command = head_command(settings, Path("/tmp/x"))
    assert {"--port=0", "--dashboard-port=0", "--dashboard-agent-listen-port=0", "--min-worker-port=0"} <= set(command)
    assert "--dashboard-host=127.0.0.1" in command


def test_gpus_are_declared_only_when_they_are_simulated(settings):
    assert not [word for word in head_command(settings, Path("/tmp/x")) if word.startswith("--num-gpus")]
    assert "--num-gpus=3" in head_command(settings.model_copy(update={"simulate_gpus": 3}), Path("/tmp/x"))


def test_the_head_has_the_mark_the_token_and_direct_ingress_on_the_port(settings):
    environ = head_environment({"PATH": "/usr/bin"}, settings)
    assert environ[MARK] == instance_mark(settings.state_dir)
    assert environ["RAY_AUTH_MODE"] == "token"
    assert environ["RAY_AUTH_TOKEN_PATH"] == str(settings.state_dir / "ray_token")
    assert environ["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] == "9000"
    assert environ["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] == "9001"


def test_a_job_that_is_stopped_has_the_time_to_cancel_its_task(settings):
    assert int(head_environment({"PATH": "/usr/bin"}, settings)["RAY_JOB_STOP_WAIT_TIME_S"]) > job_service._CANCEL_S


def test_a_driver_has_neither_the_mark_nor_serves_variables(settings):
    environ = driver_environment({"PATH": "/usr/bin"}, settings.state_dir / "ray_token")
    assert not [name for name in environ if name == MARK or name.startswith("RAY_SERVE")]


def test_a_driver_is_not_led_to_another_ray(settings):
    base = {"PATH": "/usr/bin", "RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "secret", "HOME": "/home/x"}
    environ = driver_environment(base, settings.state_dir / "ray_token")
    assert "RAY_ADDRESS" not in environ
    assert "RAY_AUTH_TOKEN" not in environ
    assert environ["HOME"] == "/home/x"


def test_the_environments_programs_come_first_once(settings):
    once = driver_environment({"PATH": "/usr/bin"}, settings.state_dir / "ray_token")
    twice = driver_environment(once, settings.state_dir / "ray_token")
    assert once["PATH"].split(os.pathsep)[-1] == "/usr/bin"
    assert twice["PATH"] == once["PATH"]


def test_the_token_is_made_once_for_its_owner_alone(tmp_path: Path):
    path = ensure_token(tmp_path)
    first = path.read_text()
    assert len(first) >= 32
    path.chmod(0o644)
    assert ensure_token(tmp_path).read_text() == first
    assert path.stat().st_mode & 0o777 == 0o600


def test_an_empty_token_is_replaced(tmp_path: Path):
    (tmp_path / "ray_token").write_text("\n")
    assert ensure_token(tmp_path).read_text().strip()


def test_the_temporary_folder_is_short_private_and_made_anew(tmp_path: Path):
    path = make_temp_dir(tmp_path)
    try:
        (path / "old").touch()
        assert make_temp_dir(tmp_path) == path == temp_dir_of(tmp_path)
        assert list(path.iterdir()) == []
        assert path.stat().st_mode & 0o777 == 0o700
        assert len(str(path)) < 60
    finally:
        remove_temp_dir(tmp_path)
    assert not path.exists()


def test_a_link_laid_in_the_temporary_folders_place_is_refused(tmp_path: Path):
    temp_dir_of(tmp_path).symlink_to(tmp_path)
    try:
        with pytest.raises(PermissionError, match="TMPDIR"):
            make_temp_dir(tmp_path)
    finally:
        temp_dir_of(tmp_path).unlink()


def test_rays_logs_outlive_its_folder(tmp_path: Path):
    assert keep_logs(tmp_path) is None
    logs = make_temp_dir(tmp_path) / "session_latest" / "logs"
    logs.mkdir(parents=True)
    (logs / "raylet.out").write_text("why")
    kept = keep_logs(tmp_path)
    remove_temp_dir(tmp_path)
    assert kept is not None
    assert (kept / "raylet.out").read_text() == "why"


def test_a_head_that_ends_at_once_is_reported_with_its_last_words(settings, monkeypatch):
    monkeypatch.setattr("cluster.ray_head.head_command", lambda *_args: ["sh", "-c", "echo; echo no room for sockets; exit 3"])
    try:
        with pytest.raises(RayStartError, match="exit code 3: no room for sockets") as caught:
            HeadStart(settings).wait()
    finally:
        remove_temp_dir(settings.state_dir)
    assert caught.value.log.read_text().strip() == "no room for sockets"
