"""Versions and trainings side by side: parameters, metrics and curves in aligned columns."""

from dataclasses import replace

import pytest

from actors.core.tasks import Progress
from actors.learning.history_files import METRICS_CSV, metrics_csv
from actors.registry.records import Lineage
from serve_app.schemas.models import ComparisonResponse
from tests.fake_serving import make_version
from tests.http import bodies
from tests.http.callers import error_code

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"data_roots": (tmp_path,)})


@pytest.fixture
async def _runs(client, tasks, models, tmp_path):
    """A version with three epochs, and a training with two."""
    curves = {"epoch": (1, 2, 3), "val_acc": (50.0, None, 91.0)}
    lineage = Lineage("t0", {}, "", {"model": "resnet18", "learning_rate": 0.001}, curves)
    await models.put(replace(make_version(), lineage=lineage))
    (tmp_path / "out").mkdir()
    await client.post("/api/v2/training/start", json=bodies.training(task_id="t1", learning_rate=0.01))
    tasks.grant("t1", "cuda:0")
    tasks.progress("t1", Progress(50, metrics={"val_acc": 60.0, "val_loss": 0.5}))
    rows = [{"epoch": number, "val_acc": 50.0 + number, "val_loss": 1.0} for number in (1, 2)]
    (tmp_path / "out" / METRICS_CSV).write_text(metrics_csv(rows))


@pytest.mark.usefixtures("_runs")
async def test_versions_and_trainings_stand_side_by_side(client):
    answer = await client.get("/api/v2/comparison?model=drones&task=t1&model=drones@1")
    found = ComparisonResponse(**answer.json())
    assert [(each.kind, each.id) for each in found.columns] == [
        ("model", "drones@1"),
        ("model", "drones@1"),
        ("training", "t1"),
    ]
    assert found.parameters["learning_rate"] == [0.001, 0.001, 0.01]
    assert found.parameters["train_path"] == [None, None, "data/train"]
    assert "learning_rate" in found.differing
    assert "model" not in found.differing
    assert found.metrics == {"val_acc": [91.0, 91.0, 60.0], "val_loss": [None, None, 0.5]}
    assert found.epochs == [1, 2, 3]
    assert found.curves["val_acc"] == [[50.0, None, 91.0], [50.0, None, 91.0], [51.0, 52.0, None]]
    assert found.curves["val_loss"] == [[None] * 3, [None] * 3, [1.0, 1.0, None]]


@pytest.mark.usefixtures("_runs")
async def test_a_training_whose_files_are_gone_has_no_curves(client, tasks, tmp_path):
    (tmp_path / "out" / METRICS_CSV).unlink()
    tasks.finish("t1")
    found = ComparisonResponse(**(await client.get("/api/v2/comparison?task=t1")).json())
    assert (found.epochs, found.curves, found.columns[0].status) == ([], {}, "completed")


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("", (422, "invalid_field")),
        ("model=a@b@c", (422, "invalid_field")),
        ("model=birds", (404, "model_not_found")),
        ("task=nobody", (404, "task_not_found")),
        ("&".join(["task=t"] * 33), (422, "invalid_field")),
    ],
)
async def test_what_cannot_be_compared_is_named(client, query, error):
    assert error_code(await client.get(f"/api/v2/comparison?{query}")) == error
