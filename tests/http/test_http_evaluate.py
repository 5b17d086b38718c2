"""Evaluations over HTTP: what may be asked for, and the figures that come back once there are some."""

import os

import pytest

from actors.core.model import WorkKind
from actors.learning.evaluation_files import EVALUATION_JSON, EvaluatedFile, Evaluation, Score, write_evaluation
from actors.learning.evaluation_plan import asked_ratios
from serve_app.schemas.evaluate import EvaluationResponse
from tests.fakes import START
from tests.http import bodies

pytestmark = pytest.mark.anyio

EVALUATE, FOUND = "/api/v2/evaluate", "/api/v2/evaluate/e1"


def an_evaluation():
    """What an evaluation of two recordings finds that noise makes a network guess with."""
    clean = Score.of(None, [[3, 0], [1, 2]], recordings=2, right_recordings=2, left_out=0)
    noisy = Score.of(-10.0, [[0, 0], [3, 0]], recordings=1, right_recordings=0, left_out=1)
    none = Score.of(20.0, [[0, 0], [0, 0]], recordings=0, right_recordings=0, left_out=2)
    files = tuple(EvaluatedFile(f"{name}/1.iq", name, 3, 12.5, None, None) for name in ("fpv", "other"))
    return Evaluation("resnet18", ("fpv", "other"), "recordings", files, (clean, noisy, none), ({"pipeline": "P1"},))


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"data_roots": (tmp_path / "root",)})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "root/out"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
async def _running(client, tasks, folder):
    await client.post(EVALUATE, json=bodies.evaluation(task_id="e1", save_path="out"))
    tasks.grant("e1", "cuda:0")


async def submitted(client, tasks, **changes):
    answer = await client.post(EVALUATE, json=bodies.evaluation(**changes))
    assert answer.status_code == 200, answer.text
    return tasks.submissions[-1]


class TestSubmission:
    async def test_it_is_an_inference_of_its_own_type_with_its_defaults(self, client, tasks):
        submission = await submitted(client, tasks)
        assert (submission.work, submission.task_type, submission.priority) == (WorkKind.INFERENCE, "evaluate", 3)
        assert submission.output_path == f"results/{submission.task_id}"
        assert (submission.request["seed"], submission.request["recipe"], submission.device) == (0, None, "cuda")

    @pytest.mark.parametrize(
        ("changes", "asked"),
        [({}, None), ({"snr_db": None}, ()), ({"snr_db": []}, ()), ({"snr_db": [5, -5.5, -0.0]}, (5.0, -5.5, 0.0))],
    )
    async def test_ratios_left_open_are_another_thing_than_none(self, client, tasks, changes, asked):
        assert asked_ratios((await submitted(client, tasks, **changes)).request) == asked

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("snr_db", [1, 1.0], "1 dB stands there more than once"),
            ("snr_db", [61], "less than or equal to 60"),
            ("snr_db", [float(ratio) / 2 for ratio in range(65)], "at most 64"),
            ("snr_db", 5, "list"),
            ("snr_db", ["loud"], "number"),
            ("band_hz", 0, "greater than 0"),
            ("seed", -1, "greater than or equal to 0"),
            ("data_path", "", "at least 1"),
            ("recipe", {"pipeline": "P7"}, "P1"),
            ("sample_rate", 0, "greater than or equal to 1"),
            ("device", "banana", "banana"),
            ("source_path", "x", "Extra"),
        ],
    )
    async def test_a_wrong_field_is_named(self, client, field, value, words):
        answer = await client.post(EVALUATE, json=bodies.evaluation(**{field: value}))
        assert answer.status_code == 422
        assert field in answer.json()["detail"][0]["loc"]
        assert words in answer.text

    async def test_it_is_listed_explained_and_cancelled_like_others(self, client, tasks):
        await submitted(client, tasks, task_id="e1")
        await client.post("/api/v2/inference/start", json=bodies.inference())
        listed = (await client.get("/api/v2/tasks?task_type=evaluate")).json()
        assert [task["task_id"] for task in listed["inference_tasks"]] == ["e1"]
        assert (await client.get("/api/v2/tasks")).json()["total_inference"] == 2
        explained = await client.post("/api/v2/tasks/explain", json={"task_type": "evaluate", "request": bodies.evaluation()})
        assert explained.json()["would_start"] is True
        assert (await client.post("/api/v2/tasks/e1/cancel")).status_code == 200


@pytest.mark.usefixtures("_running")
class TestResult:
    async def test_before_the_end_there_is_none(self, client, folder):
        write_evaluation(folder, an_evaluation())
        found = (await client.get(FOUND)).json()
        assert (found["status"], found["task_type"], found["result"]) == ("running", "evaluate", None)

    async def test_then_it_tells_the_figures_at_each_ratio(self, client, tasks, folder):
        write_evaluation(folder, an_evaluation())
        tasks.finish("e1")
        answer = await client.get(FOUND)
        assert set(EvaluationResponse.__annotations__) <= set(answer.json())
        result = answer.json()["result"]
        assert (result["classes"], result["files"], result["failed"]) == (["fpv", "other"], 2, 0)
        clean, noisy, none = result["scores"]
        assert (clean["snr_db"], clean["accuracy"], clean["recording_accuracy"]) == (None, 83.3333, 100)
        assert clean["macro_f1"] == pytest.approx((6 / 7 + 4 / 5) / 2, abs=1e-6)
        assert (noisy["snr_db"], noisy["accuracy"], noisy["left_out"], noisy["confusion"]) == (-10, 0, 1, [[0, 0], [3, 0]])
        assert (none["frames"], none["accuracy"], none["macro_f1"]) == (0, None, None)

    async def test_what_an_earlier_task_left_is_not_its_own(self, client, tasks, folder):
        write_evaluation(folder, an_evaluation())
        os.utime(folder / EVALUATION_JSON, (START - 100, START - 100))
        tasks.finish("e1")
        answer = await client.get(FOUND)
        assert (answer.status_code, answer.json()["code"]) == (404, "output_not_found")

    @pytest.mark.parametrize("text", ["{}", "no JSON", '{"format_version": 2}'])
    async def test_a_file_that_somebody_changed_is_a_conflict(self, client, tasks, folder, text):
        (folder / EVALUATION_JSON).write_text(text)
        tasks.finish("e1")
        answer = await client.get(FOUND)
        assert (answer.status_code, answer.json()["code"]) == (409, "output_changed")

    async def test_tasks_of_other_types_are_not_found_here_nor_this_one_among_predictions(self, client):
        await client.post("/api/v2/inference/start", json=bodies.inference(task_id="i1"))
        assert (await client.get("/api/v2/evaluate/i1")).status_code == 404
        assert (await client.get("/api/v2/evaluate/nobody")).status_code == 404
        assert (await client.get("/api/v2/inference/e1/results")).status_code == 404
        assert (await client.get("/api/v2/inference/e1")).json()["task_type"] == "evaluate"
