"""A trained network measured over HTTP, on a service that was really started: with pictures, and with recordings and noise."""

import csv
import json

import numpy as np
import pytest

from tests.service.http_client import Http
from tests.service.pictures import CLASSES, write_coloured

pytestmark = pytest.mark.service
RATE = 1e6
RECIPE = {"pipeline": "native", "nfft": 64, "frame_duration_s": 1e-3}


@pytest.fixture(scope="module")
def http(service):
    return Http(service.url, write_coloured(service.data_root / "coloured"))


@pytest.fixture(scope="module")
def training(http):
    """A finished small training."""
    task = http.wait(http.train("measured", num_epochs=3)["task_id"])
    assert task["status"] == "completed", task
    return task


@pytest.fixture(scope="module")
def recordings(service):
    """A recording for each class: a tone in noise."""
    rng = np.random.default_rng(1)
    for number, name in enumerate(CLASSES):
        folder = service.data_root / "recordings" / name
        folder.mkdir(parents=True)
        noise = rng.normal(size=(20_000, 2)).view(complex)[:, 0]
        tone = 10 * np.exp(2j * np.pi * (0.2 - 0.4 * number) * np.arange(20_000))
        (noise + tone).astype(np.complex64).tofile(folder / "1.cf32")
    return "recordings"


def evaluate(http, data_path, **changes):
    """Run an evaluation to its end; returns it as its own route shows it."""
    body = {"cfg_path": "out/measured/config.yaml", "weight_path": "out/measured/best_model.pth", "data_path": data_path}
    task_id = http.post("/api/v2/evaluate", body | {"device": "cpu"} | changes)["task_id"]
    http.wait(task_id)
    answer = http.client.get(f"/api/v2/evaluate/{task_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_pictures_give_the_figures_that_training_had_and_the_card_gets_them(http, service, training):
    task = evaluate(http, "coloured/valid", save_path="measured", name="pictures")
    assert task["status"] == "completed", task
    (score,) = task["result"]["scores"]
    assert score["accuracy"] == pytest.approx(training["latest_metrics"]["best_acc"], abs=0.01)
    assert task["latest_metrics"]["accuracy"] == score["accuracy"]
    card = json.loads((service.data_root / "out/measured/model_card.json").read_text())
    assert card["metrics_by_snr"]["clean"]["macro_f1"] == score["macro_f1"]
    assert card["metrics"]["best_acc"] == training["latest_metrics"]["best_acc"]
    names = {path.name for path in (service.data_root / "measured/pictures").iterdir() if not path.name.startswith(".")}
    assert names == {
        "evaluation.json",
        "evaluation.csv",
        "evaluation_files.csv",
        "evaluation.png",
        "confusion_matrix.png",
    }


@pytest.mark.usefixtures("training")
def test_recordings_are_measured_at_every_ratio_and_the_log_tells_each(http, service, recordings):
    wishes = {"snr_db": [-10, 10, 50], "recipe": RECIPE, "sample_rate": RATE, "save_path": "measured/recordings"}
    task = evaluate(http, recordings, **wishes)
    assert task["status"] == "completed", task
    scores = task["result"]["scores"]
    assert [(score["snr_db"], score["frames"], score["left_out"]) for score in scores] == [
        (None, 40, 0),
        (-10, 40, 0),
        (10, 40, 0),
        (50, 0, 2),
    ]
    with (service.data_root / "measured/recordings/evaluation.csv").open() as file:
        rows = [row["accuracy"] for row in csv.DictReader(file)]
    assert rows == ["" if score["accuracy"] is None else str(score["accuracy"]) for score in scores]
    figures = [record["metrics"] for record in http.log(task["task_id"]) if record.get("stage") == "validation"]
    assert [each.get("snr_db") for each in figures] == [None, -10, 10, 50]
    again = evaluate(http, recordings, **wishes | {"save_path": "measured/again"})
    assert again["result"] == task["result"]


@pytest.mark.usefixtures("training")
def test_what_does_not_go_together_is_refused_before_it_waits(http):
    body = {"cfg_path": "out/measured/config.yaml", "weight_path": "out/measured/best_model.pth", "device": "cpu"}
    refused = http.post("/api/v2/evaluate", body | {"data_path": "coloured/valid", "snr_db": [0]}, expect=422)
    assert (refused["code"], refused["detail"][0]["loc"]) == ("noise_not_possible", ["body", "snr_db"])
    refused = http.post("/api/v2/evaluate", body | {"data_path": "coloured"}, expect=422)
    assert "train, valid" in refused["message"]
