"""The other commands over HTTP: models, predictions, limits, devices, data, health; keys; completion; what all have in common."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from actors.access import Role
from actors.core.errors import PredictionInputError, ServingFullError
from cluster.commands.exits import ExitCode
from tests.fake_serving import make_version


@pytest.fixture
def three_versions(world):
    world.wait(world.models.put(*(make_version(version=number) for number in (1, 2, 3)), aliases={"production": 2}))


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.png"
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(path)
    return path


@pytest.mark.usefixtures("three_versions")
class TestModels:
    def test_every_version_is_a_row(self, run):
        rows = run("models", "list").stdout.splitlines()
        assert [row.split()[0] for row in rows] == ["Model", "drones@1", "drones@2", "drones@3"]
        assert "production" in rows[2]
        assert json.loads(run("models", "list", "--json").stdout)["models"][0]["name"] == "drones"

    def test_a_model_and_a_version_can_be_shown(self, run):
        assert "drones@3" in run("models", "show", "drones").stdout
        assert json.loads(run("models", "show", "drones@production", "--json").stdout)["version"] == 2
        assert "resnet18" in run("models", "show", "drones@1").stdout
        run("models", "show", "nothing", code=6)

    def test_a_training_is_registered(self, run, world):
        text = run("models", "register", "--name", "new", "--task-id", "t1", "--unknown-below", 0.6).stdout
        assert "new@1 is kept" in text
        assert (world.models.wishes[0].task_id, world.models.wishes[0].unknown_below) == ("t1", 0.6)
        assert "give task_id" in run("models", "register", "--name", "new", code=2).stderr

    def test_promotion_and_rollback_move_the_alias(self, run, world):
        assert "drones@production means version 3 now" in run("models", "promote", "drones", 3).stdout
        assert json.loads(run("models", "rollback", "drones", "--json").stdout)["aliases"] == {"production": 2}
        run("models", "rollback", "drones")
        assert world.models.table.models["drones"].aliases == {"production": 1}
        assert "none before" in run("models", "rollback", "drones", code=7).stderr
        run("models", "rollback", "drones", "--alias", "staging", code=6)
        run("models", "promote", "drones", 9, code=6)

    def test_a_version_that_is_used_is_not_deleted(self, run, world):
        run("models", "delete", "drones@2", code=7)
        run("models", "delete", "drones@1")
        run("models", "unalias", "drones", "production")
        assert "--all" in run("models", "delete", "drones", code=2).stderr
        run("models", "delete", "drones", "--all")
        assert not world.models.table.models

    def test_versions_are_compared_side_by_side(self, run):
        assert run("models", "compare", "drones@1", "drones@2").stdout.splitlines()[0].split() == ["drones@1", "drones@2"]
        assert len(json.loads(run("models", "compare", "drones@1", "drones@2", "--json").stdout)["columns"]) == 2
        run("models", "compare", code=2)


@pytest.mark.usefixtures("three_versions")
class TestPredict:
    def test_pictures_are_predicted_in_one_request(self, run, world, picture):
        second = shutil.copy(picture, picture.with_name("second.png"))
        text = run("predict", picture, second, "--top-k", 1).stdout
        assert "drones@2 on cpu:0" in text
        assert text.count("AVATA") == 2
        assert len(world.predictor.orders) == 1

    def test_json_is_the_answer(self, run, picture):
        answer = json.loads(run("predict", picture, "--model", "drones@1", "--json").stdout)
        assert (answer["version"], answer["predictions"][0]["class"]) == (1, "AVATA")

    def test_a_file_that_is_not_there_is_bad_input(self, run, tmp_path):
        assert "nowhere.png" in run("predict", tmp_path / "nowhere.png", code=2).stderr

    def test_an_unknown_model_is_not_found(self, run, picture):
        run("predict", picture, "--model", "nothing", code=6)

    def test_what_is_no_picture_is_refused(self, run, world, picture):
        world.predictor.error = PredictionInputError("picture.png is no picture")
        assert "picture.png is no picture" in run("predict", picture, code=2).stderr

    def test_a_full_predictor_is_busy(self, run, world, picture):
        world.predictor.error = ServingFullError("128 requests wait")
        run("predict", picture, code=75)


class TestLimits:
    def test_they_are_shown_and_set(self, run):
        assert run("limits", "show").stdout.splitlines()[1].split() == ["cuda:0", "0/1", "0/3", "-"]
        text = run("limits", "set", "cuda", "training=2", "inference=0").stdout
        assert "cuda:1  2         0" in text
        assert json.loads(run("limits", "show", "--json").stdout)["cuda:0"]["limits"] == {"training": 2, "inference": 0}

    @pytest.mark.parametrize(
        "wish", [("cuda", "training"), ("cuda", "trainings=1"), ("cuda", "training=-1"), ("gpu", "training=1")]
    )
    def test_what_is_no_limit_is_told(self, run, wish):
        run("limits", "set", *wish, code=2)

    def test_a_device_that_is_not_there_is_bad_input(self, run):
        assert "cuda:9" in run("limits", "set", "cuda:9", "training=1", code=2).stderr


class TestData:
    def test_roots_and_folders_are_listed(self, run, settings):
        (settings.data_roots[0] / "pictures").mkdir()
        assert json.loads(run("data", "list", "--json").stdout)["entries"]
        assert "pictures" in run("data", "list", ".").stdout
        run("data", "list", "nowhere", code=2)
        run("data", "list", "/etc", code=3)

    def test_files_are_uploaded_whole_and_not_twice(self, run, settings, picture):
        assert "sets/new/picture.png" in run("data", "upload", picture, "--to", "sets/new").stdout
        assert (settings.data_roots[0] / "sets/new/picture.png").read_bytes() == picture.read_bytes()
        run("data", "upload", picture, "--to", "sets/new/", code=7)
        assert json.loads(run("data", "upload", picture, "--to", "sets/new", "--overwrite", "--json").stdout)["kind"] == "file"
        assert "gone.png" in run("data", "upload", "gone.png", "--to", "sets", code=2).stderr


class TestHealth:
    def test_a_part_that_is_ill_is_an_exit_code(self, run, world):
        world.health.states["predictor"] = "healthy"
        assert run("health").stdout.startswith("healthy")
        world.health.states["store"] = "unhealthy"
        assert json.loads(run("health", "--json", code=1).stdout)["components"]["store"]["state"] == "unhealthy"

    def test_since_when_each_part_is_so_and_how_often_it_restarted_stands_in_the_table(self, run, world):
        world.health.states["predictor"] = "healthy"
        told = run("health").stdout.splitlines()
        assert told[1].split("  ")[0] == "Part"
        assert ("Since" in told[1], "Restarts in 10 min" in told[1]) == (True, True)
        assert re.search(r"accountant +healthy +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +0 +1\.25", "\n".join(told))

    def test_a_service_that_is_not_ready_is_busy(self, run, world):
        world.tasks.is_ready = False
        assert "try again" in run("tasks", "list", code=75).stderr


class TestKeys:
    def test_a_missing_a_wrong_and_a_lower_key_are_refused(self, run, keys):
        assert "RFUAV_API_KEY" in run("tasks", "list", code=3).stderr
        run("tasks", "list", code=3, env={"RFUAV_API_KEY": "rfuav_00000000_x"})
        assert "RFUAV_API_KEY" in run("limits", "set", "cuda", "training=1", "--api-key", keys[Role.VIEWER], code=3).stderr
        run("limits", "set", "cuda", "training=1", "--api-key", keys[Role.ADMIN])
        run("tasks", "list", env={"RFUAV_API_KEY": keys[Role.VIEWER]})
        run("devices", code=3)


class TestCompletion:
    def complete(self, world, *words, url=None):
        """What bash is offered for a line of words, the last of which is typed now."""
        environment = os.environ | {
            "RFUAV_URL": url or world.url,
            "_RFUAV_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(words),
            "COMP_CWORD": str(len(words) - 1),
        }
        code = "import sys; sys.argv[0] = 'rfuav'; from cluster.cli import app; app(prog_name='rfuav')"
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stderr == ""
        return done.stdout.split()

    @pytest.mark.usefixtures("three_versions")
    def test_task_ids_and_models_come_from_the_service(self, world, run):
        run("infer", "--cfg-path", "c", "--weight-path", "w", "--source-path", "p", "--task-id", "night-1")
        assert self.complete(world, "rfuav", "tasks", "show", "nig") == ["night-1"]
        assert self.complete(world, "rfuav", "models", "show", "drones@p") == ["drones@production"]
        assert "--model" in self.complete(world, "rfuav", "train", "--mod")

    def test_a_service_that_is_down_is_passed_over_in_silence(self, world):
        assert self.complete(world, "rfuav", "tasks", "show", "x", url="http://127.0.0.1:1") == []

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_there_is_a_script_for_each_shell(self, shell):
        environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
        command = [sys.executable, "-m", "cluster.cli", "--show-completion", shell]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "COMPLETE" in done.stdout


def test_every_exit_code_is_told_in_the_help(run):
    text = " ".join(run("--help", env={"COLUMNS": "300"}).output.split())
    for code in ExitCode:
        assert f"{code.value} {code.meaning}" in text


def test_an_address_without_a_service_is_told_with_a_remedy(run):
    assert "rfuav up" in run("tasks", "list", "--url", "http://127.0.0.1:1", code=1).stderr
    assert "http://" in run("tasks", "list", "--url", "ftp://x", code=2).stderr


@pytest.mark.parametrize("module", ["ray", "torch", "numpy", "pydantic", "httpx", "fastapi", "sqlalchemy", "rich.table"])
def test_the_command_line_itself_imports_nothing_heavy(module):
    code = f"import sys, cluster.cli; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_commands_over_http_import_neither_ray_nor_torch(world):
    code = (
        "import sys\nfrom cluster.cli import app\n"
        "try: app(['tasks', 'list'])\n"
        "except SystemExit as end: code = end.code\n"
        "sys.exit(code or bool({'ray', 'torch', 'fastapi', 'sqlalchemy'} & set(sys.modules)))"
    )
    environment = os.environ | {"RFUAV_URL": world.url}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
