"""The main job on real spectrograms: ten transmitters of the ISM bands, where the test data is at hand."""

import json

import pytest

from tests.service.http_client import Http

pytestmark = pytest.mark.service
CLASSES = 10


@pytest.fixture(scope="module")
def ism(service):
    if service.test_data is None:
        pytest.skip("no test data: set RFUAV_TEST_DATA")
    http = Http(service.url, service.data_root / "unused")
    http.data = service.test_data / "ism_spectrograms"
    return http


def train(ism, service, name, deadline_s=600, **changes):
    body = {"num_classes": CLASSES, "save_path": str(service.data_root / "ism"), "batch_size": 16, "learning_rate": 3e-4}
    return ism.wait(ism.train(name, **(body | changes))["task_id"], "completed", deadline_s=deadline_s)


def infer(ism, service, name):
    """Classify the valid pictures by a finished training's files; returns the accuracy in percent."""
    model = service.data_root / "ism" / name
    ism.wait(ism.infer(name, model, save_path=str(service.data_root / "ism-inferred"))["task_id"], "completed")
    predictions = json.loads((service.data_root / "ism-inferred" / name / "predictions.json").read_text())
    assert len(predictions) == 82
    return 100 * sum(each["class"] == each["file"].split("/")[0] for each in predictions) / len(predictions)


def predict_online(ism, service, model):
    """Classify the valid pictures online, a class folder at a time; returns the entries by file, each with all classes."""
    entries = {}
    for folder in sorted((service.test_data / "ism_spectrograms" / "valid").iterdir()):
        files = [
            ("files", (f"{folder.name}/{path.name}", path.read_bytes(), "image/jpeg")) for path in sorted(folder.glob("*.jpg"))
        ]
        answer = ism.client.post(f"/api/v2/predict?model={model}&top_k={CLASSES}", files=files)
        assert answer.status_code == 200, answer.text
        names = [f"{folder.name}/{path.name}" for path in sorted(folder.glob("*.jpg"))]
        entries |= dict(zip(names, answer.json()["predictions"], strict=True))
    return entries


def by_class(entry):
    return {top["class"]: top["confidence"] for top in entry["top"]}


def check_online(ism, service, name):
    """Online and job agree in every picture's class and confidences, as closely as the precision can.

    float32: within 0.01 percentage points. bfloat16 keeps 8 bits, which moved confidences by up to 0.9 points where this was measured:
    within three, and where the job's two best classes are closer than that, either may win.
    """
    job = json.loads((service.data_root / "ism-inferred" / name / "predictions.json").read_text())
    task_id = next(t["task_id"] for t in ism.client.get("/api/v2/tasks?limit=1000").json()["training_tasks"] if t["name"] == name)
    for precision, tolerance in (("float32", 0.01), ("bfloat16", 3)):
        told = ism.post("/api/v2/models", {"name": f"ism-{name}", "task_id": task_id, "precision": precision})
        online = predict_online(ism, service, f"ism-{name}@{told['version']}")
        assert set(online) == {each["file"] for each in job}
        equal = 0
        for each in job:
            expected, found = by_class(each), by_class(online[each["file"]])
            assert {name: found[name] for name in expected} == pytest.approx(expected, abs=tolerance), each["file"]
            best, second = sorted(expected.values(), reverse=True)[:2]
            same = online[each["file"]]["class"] == each["class"]
            assert same or best - second <= tolerance, each["file"]
            equal += same
        print(f"{precision}: {equal} of {len(job)} pictures have the same class online and in the job")
        # A model in training has some such close calls; most pictures must be decided, or this compares nothing.
        assert equal >= 0.9 * len(job)


def test_a_short_training_beats_chance_and_its_best_weights_predict_as_they_validated(ism, service):
    task = train(ism, service, "short", model="resnet18", image_size=64, num_epochs=3)
    best = task["latest_metrics"]["best_acc"]
    assert best > 3 * 100 / CLASSES
    assert infer(ism, service, "short") == pytest.approx(best, abs=0.01)
    check_online(ism, service, "short")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_resnet18_from_scratch_reaches_92_percent_in_8_epochs(ism, service):
    task = train(ism, service, "resnet18", model="resnet18", image_size=128, num_epochs=8)
    best = task["latest_metrics"]["best_acc"]
    print(f"resnet18: {best:.2f} %")
    assert best >= 92
    assert infer(ism, service, "resnet18") == pytest.approx(best, abs=0.01)
    check_online(ism, service, "resnet18")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_mobilenet_v3_small_from_scratch_reaches_80_percent(ism, service):
    task = train(ism, service, "mobilenet", deadline_s=850, model="mobilenet_v3_small", image_size=128, num_epochs=20)
    print(f"mobilenet_v3_small: {task['latest_metrics']['best_acc']:.2f} %")
    assert task["latest_metrics"]["best_acc"] >= 80
