"""The model registry on a service that was really started: from a finished training to a job that names it."""

import json

import pytest

from tests.service.http_client import Http
from tests.service.pictures import write_coloured

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "registered"))


def test_a_finished_training_becomes_a_version_that_jobs_name(http, service):
    before = set((service.state_dir / "models").glob("*"))
    task = http.wait(http.train("registered", num_epochs=2)["task_id"])
    version = http.post("/api/v2/models", {"name": "coloured", "task_id": task["task_id"], "description": "of a test"})
    assert (version["name"], version["version"], version["lineage"]["task_id"]) == ("coloured", 1, task["task_id"])
    assert version["metrics"]["val_acc"] == pytest.approx(task["latest_metrics"]["best_acc"])
    assert version["lineage"]["parameters"]["num_epochs"] == 2

    for path in (service.data_root / "out" / "registered").iterdir():
        path.unlink()
    job = http.post(
        "/api/v2/inference/start",
        {
            "model": "coloured@1",
            "source_path": str(http.data / "valid"),
            "save_path": str(service.data_root / "by_name"),
            "device": "cpu",
        },
    )
    ended = http.wait(job["task_id"])
    assert (ended["status"], ended["model"]) == ("completed", "coloured@1"), ended
    found = json.loads((service.data_root / "by_name/predictions.json").read_text())
    assert {each["error"] for each in found} == {None}

    side_by_side = http.client.get("/api/v2/comparison", params={"model": "coloured@1", "task": task["task_id"]}).json()
    assert [each["id"] for each in side_by_side["columns"]] == ["coloured@1", task["task_id"]]
    assert len(side_by_side["curves"]["val_acc"][0]) == 2
    refused = http.client.post("/api/v2/inference/start", json={"model": "coloured@7", "source_path": str(http.data / "valid")})
    assert (refused.status_code, refused.json()["code"]) == (404, "model_not_found")

    assert http.client.delete("/api/v2/models/coloured/1").status_code == 200
    assert http.client.get("/api/v2/models/coloured").status_code == 404
    assert set((service.state_dir / "models").iterdir()) <= before
