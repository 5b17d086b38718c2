"""What tasks left in their folders, as answers: only what is theirs, only from inside the data roots."""

import os

import pytest

from actors.learning.history_files import CONFUSION_JSON, METRICS_CSV, confusion_json, metrics_csv
from actors.learning.prediction_files import (
    PREDICTIONS_JSON,
    SUMMARY_JSON,
    FileSummary,
    Prediction,
    failed_prediction,
    write_predictions,
    write_summaries,
)
from serve_app.schemas.results import ConfusionMatrixResponse, FileSummaryPage, MetricsHistoryResponse, PredictionPage
from tests.fakes import START
from tests.http import bodies

pytestmark = pytest.mark.anyio

METRICS, CONFUSION, RESULTS = "/api/v2/training/t1/metrics", "/api/v2/training/t1/confusion_matrix", "/api/v2/inference/i1/results"


@pytest.fixture
def settings(settings, tmp_path):
    return settings.model_copy(update={"data_roots": (tmp_path / "root",)})


@pytest.fixture
def folder(tmp_path):
    """Where the tasks of these tests write to."""
    folder = tmp_path / "root/out"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
async def _running(client, tasks, folder):
    await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
    await client.post("/api/v2/inference/start", json=bodies.inference(task_id="i1", save_path="out"))
    tasks.grant("t1", "cuda:0")
    tasks.grant("i1", "cuda:1")


@pytest.mark.usefixtures("_running")
class TestHistory:
    async def test_it_is_told_as_columns_with_null_for_what_is_not_finite(self, client, folder):
        rows = [{"epoch": 1, "val_loss": float("nan")}, {"epoch": 2, "val_loss": 0.5}]
        (folder / METRICS_CSV).write_text(metrics_csv(rows))
        found = MetricsHistoryResponse(**(await client.get(METRICS)).json())
        assert (found.epochs, found.columns) == (2, {"epoch": [1, 2], "val_loss": [None, 0.5]})

    async def test_before_the_first_epoch_there_is_none(self, client):
        assert MetricsHistoryResponse(**(await client.get(METRICS)).json()).columns == {}
        assert ConfusionMatrixResponse(**(await client.get(CONFUSION)).json()).epoch is None

    async def test_the_matrix_is_that_of_the_last_epoch(self, client, folder):
        (folder / CONFUSION_JSON).write_text(confusion_json([[1, 2], [3, 4]], ["a", "b"], 5))
        found = ConfusionMatrixResponse(**(await client.get(CONFUSION)).json())
        assert (found.epoch, found.labels, found.counts) == (5, ["a", "b"], [[1, 2], [3, 4]])

    async def test_what_an_earlier_task_left_in_the_folder_is_not_its_own(self, client, folder):
        (folder / METRICS_CSV).write_text(metrics_csv([{"epoch": 1}]))
        os.utime(folder / METRICS_CSV, (START - 100, START - 100))
        assert MetricsHistoryResponse(**(await client.get(METRICS)).json()).epochs == 0

    async def test_a_completed_training_whose_files_are_gone_says_so(self, client, tasks):
        tasks.finish("t1")
        answer = await client.get(METRICS)
        assert (answer.status_code, answer.json()["code"]) == (404, "output_not_found")

    async def test_a_file_that_somebody_changed_is_a_conflict(self, client, folder):
        (folder / METRICS_CSV).write_text("my,notes\n1\n")
        answer = await client.get(METRICS)
        assert (answer.status_code, answer.json()["code"]) == (409, "output_changed")

    async def test_a_link_out_of_the_data_roots_is_not_followed(self, client, folder, tmp_path):
        (tmp_path / "secret.csv").write_text(metrics_csv([{"epoch": 1}]))
        (folder / METRICS_CSV).symlink_to(tmp_path / "secret.csv")
        answer = await client.get(METRICS)
        assert (answer.status_code, answer.json()["code"]) == (403, "path_forbidden")

    @pytest.mark.timeout(20)
    async def test_a_pipe_in_a_files_place_keeps_nobody_waiting(self, client, folder):
        os.mkfifo(folder / METRICS_CSV)
        assert MetricsHistoryResponse(**(await client.get(METRICS)).json()).epochs == 0

    async def test_an_inference_job_has_none(self, client):
        assert (await client.get("/api/v2/training/i1/metrics")).status_code == 404


@pytest.mark.usefixtures("_running")
class TestResults:
    async def test_pages_together_hold_every_prediction_once(self, client, folder, tasks):
        write_predictions(folder, [Prediction(f"{number}.png", "fpv", 50.0, (("fpv", 50.0),)) for number in range(7)])
        tasks.finish("i1")
        seen, cursor = [], ""
        while cursor is not None:
            page = PredictionPage(**(await client.get(f"{RESULTS}?limit=3&cursor={cursor}")).json())
            assert (page.total, page.status) == (7, "completed")
            seen += [each.file for each in page.predictions]
            cursor = page.next_cursor
        assert seen == [f"{number}.png" for number in range(7)]

    async def test_before_its_end_a_job_has_none(self, client):
        page = PredictionPage(**(await client.get(RESULTS)).json())
        assert (page.status, page.total, page.predictions, page.next_cursor) == ("running", 0, [], None)

    async def test_a_position_beyond_the_end_is_an_empty_page(self, client, folder):
        write_predictions(folder, [])
        assert PredictionPage(**(await client.get(f"{RESULTS}?cursor=9")).json()).predictions == []

    async def test_frames_tell_where_they_lie_in_their_recording(self, client, folder):
        frame = Prediction("a.iq", "fpv", 50.0, (("fpv", 50.0),), segment=2, start_s=0.2, duration_s=0.1)
        write_predictions(folder, [frame])
        (body,) = PredictionPage(**(await client.get(RESULTS)).json()).predictions
        assert (body.segment, body.start_s, body.duration_s) == (2, 0.2, 0.1)

    async def test_summaries_come_file_by_file_in_pages(self, client, folder):
        summaries = [FileSummary(f"{number}.iq", "fpv", 50.0, (("fpv", 50.0),), 9, 0.9, (("fpv", 9),)) for number in range(5)]
        write_predictions(folder, [])
        write_summaries(folder, summaries)
        seen, cursor = [], ""
        while cursor is not None:
            page = FileSummaryPage(**(await client.get(f"{RESULTS}?level=file&limit=2&cursor={cursor}")).json())
            assert (page.total, page.files[0].frames_per_class) == (5, {"fpv": 9})
            seen += [each.file for each in page.files]
            cursor = page.next_cursor
        assert seen == [f"{number}.iq" for number in range(5)]

    async def test_of_pictures_each_prediction_is_a_summary(self, client, folder):
        write_predictions(folder, [Prediction("a.png", "fpv", 50.0, (("fpv", 50.0),)), failed_prediction("b.png", "cut")])
        page = FileSummaryPage(**(await client.get(f"{RESULTS}?level=file")).json())
        assert [(each.file, each.class_name, each.frames, each.error) for each in page.files] == [
            ("a.png", "fpv", 1, None),
            ("b.png", None, 0, "cut"),
        ]

    async def test_a_summary_that_an_earlier_task_left_is_not_its_own(self, client, folder):
        write_summaries(folder, [FileSummary("old.iq", "fpv", 50.0)])
        os.utime(folder / SUMMARY_JSON, (START - 100, START - 100))
        write_predictions(folder, [Prediction("a.png", "fpv", 50.0, (("fpv", 50.0),))])
        page = FileSummaryPage(**(await client.get(f"{RESULTS}?level=file")).json())
        assert [each.file for each in page.files] == ["a.png"]

    async def test_before_its_end_a_job_has_no_summaries(self, client):
        page = FileSummaryPage(**(await client.get(f"{RESULTS}?level=file")).json())
        assert (page.status, page.total, page.files) == ("running", 0, [])

    @pytest.mark.parametrize("text", ["[\n {}\n]", "nonsense", '[\n {"file": 3}\n]'])
    async def test_a_file_that_somebody_changed_is_a_conflict(self, client, folder, text):
        (folder / PREDICTIONS_JSON).write_text(text)
        answer = await client.get(RESULTS)
        assert (answer.status_code, answer.json()["code"]) == (409, "output_changed")

    @pytest.mark.parametrize("query", ["cursor=-1", "cursor=x", "limit=1001", f"cursor={2**63}", "level=frame"])
    async def test_a_wrong_position_is_refused(self, client, query):
        assert (await client.get(f"{RESULTS}?{query}")).status_code == 422
