"""The HTTP contract of the registry of models, row by row, as ``test_http_contract`` has it for everything else."""

import pytest

from serve_app.schemas import models, tasks
from tests.fake_serving import make_version
from tests.http import bodies
from tests.http.contract_rows import (
    BY_NAME,
    ERROR,
    MANY,
    METRICS,
    NONE,
    NUMBER,
    TEXT,
    WHOLE,
    YES_NO,
    Row,
    check_answer,
    write_history,
)

pytestmark = pytest.mark.anyio

MODEL = {"name": TEXT, "default_version": WHOLE + NONE, "aliases": BY_NAME, "versions": MANY}
CARD = {
    **dict.fromkeys(("architecture", "normalization", "weights_file", "weights_sha256", "task_id"), TEXT),
    **dict.fromkeys(("torch_version", "project_version"), TEXT),
    **dict.fromkeys(("num_classes", "image_size", "format_version"), WHOLE),
    **dict.fromkeys(("dataset_hash", "split", "metrics", "serving"), BY_NAME),
    **dict.fromkeys(("recipe", "metrics_by_snr"), BY_NAME + NONE),
    "classes": MANY,
    "seed": WHOLE + NONE,
    "unknown_below": NUMBER + NONE,
}
VERSION = {
    **dict.fromkeys(("name", "description", "created_at", "sha256"), TEXT),
    **dict.fromkeys(("version", "size_bytes"), WHOLE),
    **dict.fromkeys(("aliases", "warnings"), MANY),
    **dict.fromkeys(("metrics", "lineage", "model_card"), BY_NAME),
}
LINEAGE = {"task_id": TEXT, "dataset_hash": BY_NAME, "parent_weights": TEXT, "parameters": BY_NAME}
SERVING = {"precision": TEXT, "optimise": YES_NO, "forced": YES_NO, "chosen": BY_NAME}
VERSION_PARTS = {"model_card": CARD, "model_card.serving": SERVING, "lineage": LINEAGE}
ROWS = [
    Row("GET", "/api/v2/models", models.ModelListResponse, {"models": MANY}, inside={"models.0": MODEL}),
    Row(
        "POST",
        "/api/v2/models",
        models.ModelVersionResponse,
        VERSION,
        {"name": "drones", "task_id": "running", "alias": "candidate"},
        inside=VERSION_PARTS,
    ),
    Row("GET", "/api/v2/models/drones", models.ModelResponse, MODEL),
    Row("GET", "/api/v2/models/drones/1", models.ModelVersionResponse, VERSION, inside=VERSION_PARTS),
    Row("PUT", "/api/v2/models/drones/aliases/production", models.ModelResponse, MODEL, {"version": 1}),
    Row("DELETE", "/api/v2/models/drones/aliases/old", models.ModelResponse, MODEL),
    Row(
        "DELETE",
        "/api/v2/models/drones/2",
        models.DeletedModelResponse,
        {"status": TEXT, "message": TEXT, "name": TEXT, "versions": MANY},
    ),
    Row(
        "GET",
        "/api/v2/comparison?model=drones@1&task=running",
        models.ComparisonResponse,
        {**dict.fromkeys(("columns", "differing", "epochs"), MANY), **dict.fromkeys(("parameters", "metrics", "curves"), BY_NAME)},
        inside={"columns.0": dict.fromkeys(("kind", "id", "status", "created_at", "description"), TEXT)},
    ),
    *(
        Row(method, path, tasks.ErrorResponse, ERROR, body, status=status)
        for method, path, body, status in (
            ("GET", "/api/v2/models/nobody", None, 404),
            ("DELETE", "/api/v2/models/drones/1", None, 409),
            ("PUT", "/api/v2/models/drones/aliases/3", {"version": 1}, 422),
        )
    ),
]


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"data_roots": (tmp_path,)})


@pytest.fixture
async def _registered(client, tasks, models, tmp_path):
    """Two versions of a model, and a training that could become one."""
    await models.put(make_version(version=1), make_version(version=2), aliases={"old": 1})
    await client.post("/api/v2/training/start", json=bodies.training(task_id="running", name="running"))
    write_history(tmp_path / "out/running", dict.fromkeys(METRICS, 0.5) | {"epoch": 1, "total_epochs": 2})
    tasks.grant("running", "cuda:0")


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_the_answer_is_as_the_contract_has_it(client, built_app, row):
    await check_answer(client, built_app, row)
