"""Jobs that name a registered model: the version is settled at the door, and only its files are opened, never the rest of the state."""

import asyncio
from dataclasses import replace

import pytest
import yaml
from PIL import Image

from actors.admission import Admission
from actors.core.errors import SubmissionError
from actors.core.tasks import REGISTERED_MODEL
from actors.files.data_roots import OutsideRootsError
from actors.paths import build_data_roots, build_model_roots, check_still_inside, models_folder
from tests.fake_serving import make_version
from tests.http import bodies
from tests.http.callers import error_code

pytestmark = pytest.mark.anyio

INFERENCE, BATCH, EVALUATE = "/api/v2/inference/start", "/api/v2/inference/batch", "/api/v2/evaluate"
WAYS = [(INFERENCE, bodies.inference), (BATCH, bodies.batch), (EVALUATE, bodies.evaluation)]
CONFIG = {"model": "resnet18", "num_classes": 2, "class_names": {"a": 0, "b": 1}, "image_size": 64}


def by_model(make, name, **changes):
    """A body that names a model instead of files."""
    body = {key: value for key, value in make(**changes).items() if key not in ("cfg_path", "weight_path")}
    return body | {"model": name}


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"data_roots": (tmp_path,), "state_dir": tmp_path / "var"})


@pytest.fixture
async def kept(models, settings):
    """Version 1 of drones, which production means, with its files in the state folder; they lie inside the data root."""
    folder = models_folder(settings)
    folder.mkdir(parents=True)
    (folder / "1.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "1.pth").write_bytes(b"weights")
    version = replace(make_version(weights_path=str(folder / "1.pth")), config_path=str(folder / "1.yaml"))
    await models.put(version, make_version(version=2), aliases={"production": 1})
    return version


@pytest.mark.parametrize(("path", "make"), WAYS)
@pytest.mark.parametrize("name", ["drones", "drones@production", "drones@1"])
async def test_a_name_is_settled_into_the_files_of_a_version(client, tasks, kept, path, make, name):
    assert (await client.post(path, json=by_model(make, name))).status_code == 200
    for submission in tasks.submissions:
        assert submission.resolved == {
            REGISTERED_MODEL: "drones@1",
            "cfg_path": kept.config_path,
            "weight_path": kept.served.weights_path,
        }
        assert submission.request["model"] == name


@pytest.mark.usefixtures("kept")
async def test_the_task_tells_which_version_it_was(client):
    answer = await client.post(INFERENCE, json=by_model(bodies.inference, "drones"))
    assert answer.json()["model"] == "drones@1"


@pytest.mark.parametrize(("path", "make"), WAYS)
@pytest.mark.usefixtures("kept")
async def test_what_names_no_model_is_refused(client, tasks, path, make):
    assert error_code(await client.post(path, json=by_model(make, "birds"))) == (404, "model_not_found")
    answer = await client.post(path, json=by_model(make, "a/b"))
    assert (error_code(answer), answer.json()["detail"][0]["loc"][-1]) == ((422, "invalid_field"), "model")
    answer = await client.post(path, json=make(model="drones"))
    assert "leave this out where model names a registered model" in answer.json()["message"]
    assert tasks.submissions == []


async def test_beside_files_the_old_route_passes_over_a_field_named_model(client, tasks):
    answer = await client.post("/api/v1/inference", json=bodies.inference(model="resnet18"))
    assert (answer.status_code, answer.json()["model"]) == (200, None)
    assert tasks.submissions[0].resolved == {}


@pytest.mark.usefixtures("kept")
async def test_a_dry_run_knows_the_model_too(client, tasks):
    body = {"task_type": "inference", "request": by_model(bodies.inference, "drones")}
    assert (await client.post("/api/v2/tasks/explain", json=body)).status_code == 200
    assert tasks.submissions[0].resolved[REGISTERED_MODEL] == "drones@1"


class TestAdmission:
    @pytest.fixture
    def admission(self, settings, tmp_path):
        for name in ("a", "b"):
            (tmp_path / "pictures" / name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / name / "1.png")
        return Admission(build_data_roots(settings), model_roots=build_model_roots(settings))

    @pytest.mark.parametrize(("path", "make"), [(INFERENCE, bodies.inference), (EVALUATE, bodies.evaluation)])
    async def test_the_files_of_the_named_version_pass(self, client, tasks, admission, kept, path, make):
        source = {"data_path" if path == EVALUATE else "source_path": "pictures"}
        await client.post(path, json=by_model(make, "drones", **source))
        checked = await asyncio.to_thread(admission.check, tasks.submissions[0])
        assert checked.resolved["weight_path"] == kept.served.weights_path
        assert checked.resolved[REGISTERED_MODEL] == "drones@1"

    async def test_nobody_can_name_them_by_their_path(self, client, tasks, admission, kept):
        body = bodies.inference(cfg_path=kept.config_path, weight_path=kept.served.weights_path, source_path="pictures")
        await client.post(INFERENCE, json=body)
        with pytest.raises(SubmissionError, match="outside the data roots"):
            await asyncio.to_thread(admission.check, tasks.submissions[0])

    @pytest.mark.usefixtures("kept")
    async def test_a_version_that_was_deleted_meanwhile_is_told(self, client, tasks, admission, settings):
        await client.post(INFERENCE, json=by_model(bodies.inference, "drones", source_path="pictures"))
        (models_folder(settings) / "1.pth").unlink()
        with pytest.raises(SubmissionError) as caught:
            await asyncio.to_thread(admission.check, tasks.submissions[0])
        assert (caught.value.code, caught.value.field) == ("path_not_found", "model")


def test_at_the_start_of_an_attempt_only_the_models_files_are_open_and_only_to_jobs_that_name_one(settings, tmp_path):
    (tmp_path / "var/models").mkdir(parents=True)
    roots, model_roots = build_data_roots(settings), build_model_roots(settings)
    weights, store = str(tmp_path / "var/models/1.pth"), str(tmp_path / "var/store.sqlite")
    check_still_inside({REGISTERED_MODEL: "drones@1", "weight_path": weights}, roots, model_roots)
    for resolved in (
        {"weight_path": weights},
        {REGISTERED_MODEL: "drones@1", "weight_path": store},
        {REGISTERED_MODEL: "drones@1", "source_path": weights},
        {REGISTERED_MODEL: "drones@1", "output": str(tmp_path / "var/models/x")},
    ):
        with pytest.raises(OutsideRootsError):
            check_still_inside(resolved, roots, model_roots)
