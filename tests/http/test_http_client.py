"""The Python client with the real application: every route, streams over a restart, files to and fro.

The client that blocks talks to a server on a real port; the one that awaits to the application in process.
"""

from contextlib import aclosing, closing

import httpx
import pytest

from actors.access import KeyTable, Role, mint_key
from actors.core.errors import LineFullError
from actors.learning.history_files import CONFUSION_JSON, METRICS_CSV, confusion_json, metrics_csv
from actors.learning.prediction_files import (
    PREDICTIONS_JSON,
    SUMMARY_JSON,
    FileSummary,
    Prediction,
    write_predictions,
    write_summaries,
)
from cluster.client import (
    ApiError,
    AsyncClient,
    Client,
    KeyNeededError,
    Retry,
    TaskDeletedEvent,
    TaskEvent,
    UnreachableError,
)
from configs.settings import Settings
from serve_app.event_feed import EventPace
from serve_app.schemas.inference import InferenceRequest
from serve_app.schemas.system import BriefHealthResponse, HealthResponse
from tests.fake_serving import make_version
from tests.fakes import START, make_line
from tests.http import bodies
from tests.http.conftest import BASE_URL
from tests.http.running import running

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "root/out").mkdir(parents=True)
    return Settings(data_roots=(tmp_path / "root",), state_dir=tmp_path / "var")


@pytest.fixture
def server(app):
    with running(app) as server:
        yield server


@pytest.fixture
def service(server):
    """The client that blocks, before the application behind a real port."""
    with Client(server.url, retry=Retry(first_s=0.01, most_s=0.05)) as client:
        yield client


@pytest.fixture
def at_the_server(server):
    """Runs a plain function where the fakes live."""

    def run(work, *args, **kwargs):
        async def in_loop():
            return work(*args, **kwargs)

        return server.do(in_loop())

    return run


class TestTasks:
    def test_a_task_from_its_submission_to_its_end(self, service, tasks, at_the_server):
        task = service.train(bodies.training(), task_id="t1", priority=7)
        assert (task["task_id"], task["status"], task["priority"]) == ("t1", "pending", 7)
        assert service.train(bodies.training(), task_id="t1", priority=7) == task
        at_the_server(tasks.queue, "t1", 3)
        assert service.set_priority("t1", 2).status == "success"
        assert service.why("t1").task_id == "t1"
        at_the_server(tasks.grant, "t1", "cuda:0")
        assert service.task("t1")["lease"]["device"] == "cuda:0"
        at_the_server(tasks.finish, "t1")
        assert service.wait("t1")["status"] == "completed"
        assert [each.after for each in service.history("t1").history][-1] == "completed"
        assert service.leases("t1").leases == []
        assert service.delete("t1").task_id == "t1"
        with pytest.raises(ApiError, match="task_not_found") as caught:
            service.task("t1")
        assert caught.value.status == 404

    def test_requests_may_be_models_mappings_or_fields(self, service, tasks):
        service.infer(InferenceRequest(**bodies.inference()), task_id="a")
        service.infer(bodies.inference(), task_id="b")
        service.infer(**bodies.inference(task_id="c"))
        assert [each.task_id for each in tasks.submissions] == ["a", "b", "c"]
        assert len({str(each.request) for each in tasks.submissions}) == 1

    def test_every_kind_of_work_can_be_submitted_explained_and_listed(self, service):
        ids = [service.train(bodies.training())["task_id"], service.evaluate(bodies.evaluation())["task_id"]]
        ids += [getattr(service, name)(getattr(bodies, name)()).task_id for name in ("split", "augment", "crop", "spectrogram")]
        batch = service.infer_batch(bodies.batch(3))
        assert [each["task_id"] for each in service.tasks(page_size=2)] == [*ids, *batch.task_ids][::-1]
        assert {each["task_type"] for each in service.tasks(task_type="image_crop")} == {"image_crop"}
        assert service.preprocessing(ids[2]).task_type == "dataset_split"
        assert service.evaluation(ids[1])["result"] is None
        assert service.batch(batch.batch_id).total == 3
        assert service.cancel_batch(batch.batch_id).task_ids == batch.task_ids
        assert service.wait_for_batch(batch.batch_id).status == "cancelled"
        assert service.explain("training", bodies.training(), num_classes=4).would_start
        assert service.explain("image_crop", bodies.crop()).would_start

    def test_a_full_line_is_tried_again(self, service, tasks):
        full = LineFullError("r1", "100 tasks are waiting")
        tasks.refusals = [full]
        with pytest.raises(ApiError) as caught, Client(service.url, retry=Retry(patience_s=1)) as hasty:
            hasty.train(bodies.training())
        assert (caught.value.code, caught.value.retry_after_s) == ("queue_full", 30)
        tasks.refusals = [full]
        pauses = []
        with Client(service.url, sleep=pauses.append) as patient:
            assert patient.train(bodies.training())["status"] == "pending"
        assert pauses == [30]

    def test_wrong_fields_that_only_the_service_knows_are_named(self, service, path_not_found, tasks):
        tasks.refusals = [path_not_found]
        with pytest.raises(ApiError, match="'pictures/9' does not exist") as caught:
            service.infer(bodies.inference())
        assert (caught.value.status, caught.value.code) == (404, "path_not_found")


class TestFollowing:
    def test_a_log_is_followed_over_a_restart_without_a_gap_or_a_repetition(self, server, service, tasks, logs, at_the_server):
        service.train(bodies.training(), task_id="t1")
        at_the_server(tasks.grant, "t1", "cuda:0")
        server.do(logs.write("t1", make_line("one"), make_line("two")))
        records = service.follow_log("t1")
        assert [next(records).message, next(records).message] == ["one", "two"]
        server.stop()
        server.do(logs.write("t1", make_line("three")))
        server.restart()
        assert next(records).message == "three"
        at_the_server(tasks.finish, "t1")
        server.do(logs.write("t1", make_line("done", status="completed"), is_last=True))
        assert [(each.message, each.status) for each in records] == [("done", "completed")]
        assert [each.message for each in service.log("t1", after=2)] == ["three", "done"]

    def test_epochs_come_as_they_end(self, server, service, tasks, logs, at_the_server):
        service.train(bodies.training(), task_id="t1")
        at_the_server(tasks.grant, "t1", "cuda:0")
        epochs = service.follow_metrics("t1")
        for number in (1, 2):
            metrics = {"epoch": number, "val_acc": 50.0 * number}
            server.do(logs.write("t1", make_line("batch", stage="training", metrics={"train_loss": 1.0})))
            server.do(logs.write("t1", make_line("epoch", stage="epoch_end", metrics=metrics)))
            assert next(epochs) == metrics
        at_the_server(tasks.finish, "t1")
        server.do(logs.write("t1", make_line("done", status="completed"), is_last=True))
        assert list(epochs) == []

    def test_who_leaves_early_is_no_viewer_any_more(self, server, service, tasks, logs, at_the_server):
        service.train(bodies.training(), task_id="t1")
        server.do(logs.write("t1", make_line("one")))
        records = service.follow_log("t1")
        next(records)
        assert service.health().active_log_streams == 1
        records.close()
        at_the_server(tasks.grant, "t1", "cuda:0")
        while service.health().active_log_streams:  # the server learns of it from the socket
            pass

    def test_a_service_that_is_not_there_is_told_with_the_remedy(self, server, service):
        server.stop()
        with pytest.raises(UnreachableError, match="rfuav up"):
            service.info()
        server.restart()
        assert service.info().app_name


class TestEvents:
    @pytest.fixture(autouse=True)
    def _quick(self, app):
        app.state.service.events.pace = EventPace(poll_s=0.05, gather_s=0.0, look_s=0.005, retry_s=0.005, comment_s=0.2, turn_s=0)

    def test_changes_come_as_they_are_made_over_a_restart_of_what_answers(self, server, service):
        with closing(service.events()) as events:
            assert "resources" in {next(events).kind, next(events).kind}
            service.train(bodies.training(), task_id="t1")
            assert next(each for each in events if isinstance(each, TaskEvent)).task["task_id"] == "t1"
            server.stop()
            server.restart()
            service.train(bodies.training(), task_id="t2")
            assert (
                next(each.task["task_id"] for each in events if isinstance(each, TaskEvent) and each.task["task_id"] != "t1")
                == "t2"
            )
            service.cancel("t2")
            service.delete("t2")
            assert next(each for each in events if isinstance(each, TaskDeletedEvent)).task_id == "t2"


class TestResults:
    def test_what_a_training_left_is_read(self, service, tasks, tmp_path, at_the_server):
        service.train(bodies.training(), task_id="t1")
        out = tmp_path / "root/out"
        (out / METRICS_CSV).write_text(metrics_csv([{"epoch": 1, "val_acc": 50.0}, {"epoch": 2, "val_acc": 75.0}]))
        (out / CONFUSION_JSON).write_text(confusion_json([[1, 0], [0, 2]], ["a", "b"], 2))
        at_the_server(tasks.grant, "t1", "cuda:0")
        assert service.metrics("t1").columns["val_acc"] == [50.0, 75.0]
        assert service.confusion_matrix("t1").counts == [[1, 0], [0, 2]]
        assert {each.path for each in service.files("t1", page_size=1)} == {METRICS_CSV, CONFUSION_JSON}
        assert service.read_file("t1", METRICS_CSV) == (out / METRICS_CSV).read_bytes()
        fetched = service.download("t1", METRICS_CSV, tmp_path)
        assert fetched.read_bytes() == (out / METRICS_CSV).read_bytes()
        assert [each.kind for each in service.compare(tasks=["t1"]).columns] == ["training"]

    def test_predictions_are_read_page_by_page(self, service, tasks, tmp_path, at_the_server):
        service.infer(bodies.inference(save_path="out"), task_id="i1")
        at_the_server(tasks.grant, "i1", "cuda:0")
        found = [Prediction(f"{number}.png", "a", 90.0, (("a", 90.0),)) for number in range(5)]
        write_predictions(tmp_path / "root/out", found)
        summaries = [FileSummary("0.png", "a", 90.0, (("a", 90.0),), frames=1)]
        write_summaries(tmp_path / "root/out", summaries)
        assert {PREDICTIONS_JSON, SUMMARY_JSON} <= {each.name for each in (tmp_path / "root/out").iterdir()}
        at_the_server(tasks.finish, "i1")
        assert [each.file for each in service.results("i1", page_size=2)] == [f"{number}.png" for number in range(5)]
        assert [each.class_name for each in service.file_results("i1")] == ["a"]


class TestFiles:
    def test_what_is_uploaded_is_listed(self, service, tmp_path):
        source = tmp_path / "long.iq"
        source.write_bytes(bytes(range(256)) * 4096)
        seen = []
        entry = service.upload(source, "in/long.iq", on_progress=lambda *each: seen.append(each))
        assert (entry.size_bytes, (tmp_path / "root/in/long.iq").read_bytes()) == (1 << 20, source.read_bytes())
        assert seen[-1] == (1 << 20, 1 << 20)
        with pytest.raises(ApiError) as caught:
            service.upload(b"other", "in/long.iq")
        assert caught.value.status == 409
        assert service.upload(b"other", "in/long.iq", overwrite=True).size_bytes == 5
        assert [each.name for each in service.data_entries("in", page_size=1)] == ["long.iq"]
        assert service.data().path is None


class TestModels:
    @pytest.fixture(autouse=True)
    def _registered(self, server, models):
        recipe = {"pipeline": "native"}
        versions = [make_version(version=number, recipe=recipe) for number in (1, 2)]
        server.do(models.put(*versions, aliases={"production": 1}))

    def test_versions_are_promoted_rolled_back_and_deleted(self, service):
        assert [each.name for each in service.models().models] == ["drones"]
        assert service.promote("drones", "production", 2).aliases == {"production": 2}
        assert service.version("drones", "production").version == 2
        assert service.delete_version("drones", 1).versions == [1]
        assert service.remove_alias("drones", "production").aliases == {}
        assert service.model("drones").default_version == 2
        assert service.compare(models=["drones@2"]).columns[0].id == "drones@2"
        assert service.delete_model("drones").versions == [2]

    def test_a_version_is_registered(self, service):
        assert service.register(name="drones", task_id="t9", alias="candidate").version == 3

    def test_pictures_and_recordings_are_predicted(self, service, predictor, tmp_path):
        recording = tmp_path / "a.cf32"
        recording.write_bytes(bytes(8 * 1000))
        assert service.predict(PNG, model="drones@2", top_k=2).version == 2
        answer = service.predict(("one.png", PNG), recording, sample_rate=1e6, deadline_s=30)
        assert {each.file for each in answer.predictions} == {"one.png", "a.cf32"}
        assert 0 < predictor.orders[-1].timeout_s < 30
        with pytest.raises(ApiError, match="no such model"):
            service.predict(PNG, model="planes")


class TestService:
    def test_devices_and_limits(self, service):
        assert [each.device for each in service.resources().devices] == ["cuda:0", "cuda:1", "cpu:0"]
        assert service.gpus().count == 2
        assert service.cpu().cores > 0
        assert service.check_books().agrees
        assert service.set_limits({"cuda": {"training": 2}}).current_config["cuda:0"].training == 2

    def test_the_service_about_itself(self, service):
        assert isinstance(service.health(), HealthResponse)
        assert service.about().name == service.info().app_name
        assert b"rfuav_up" in service.prometheus()

    def test_keys_open_what_their_roles_may(self, server, service):
        new = service.add_key("boss", "admin")
        with pytest.raises(KeyNeededError, match="RFUAV_API_KEY"):
            service.keys()
        assert isinstance(service.health(), BriefHealthResponse)
        with Client(server.url, api_key=new.key) as boss:
            viewer = boss.add_key("guest", Role.VIEWER)
            assert {each.name for each in boss.keys().keys} == {"boss", "guest"}
            with Client(server.url, api_key=viewer.key) as guest, pytest.raises(KeyNeededError, match="role"):
                guest.train(bodies.training())
            assert boss.train(bodies.training(), task_id="t1")["task_id"] == "t1"
            assert boss.stream_ticket("t1").path.startswith("/api/v2/tasks/t1/logs?ticket=")
            assert boss.revoke_key(viewer.key_id).name == "guest"
            assert {each.action for each in boss.audit(page_size=1)} >= {"add_key", "submit", "revoke_key"}


@pytest.mark.anyio
class TestAwaiting:
    @pytest.fixture
    async def there(self, app):
        async with AsyncClient(BASE_URL, transport=httpx.ASGITransport(app, raise_app_exceptions=False)) as client:
            yield client

    async def test_a_task_is_submitted_followed_and_waited_for(self, there, tasks, logs):
        await there.train(bodies.training(), task_id="t1")
        tasks.grant("t1", "cuda:0")
        await logs.write("t1", make_line("epoch", stage="epoch_end", metrics={"epoch": 1}))
        tasks.finish("t1")
        await logs.write("t1", make_line("done", status="completed"), is_last=True)
        assert [each.message async for each in there.follow_log("t1")] == ["epoch", "done"]
        assert [each["epoch"] async for each in there.follow_metrics("t1")] == [1]
        assert (await there.wait("t1"))["status"] == "completed"

    async def test_pages_are_walked_and_left(self, there):
        for number in range(3):
            await there.split(bodies.split(task_id=f"p{number}"))
        assert [each["task_id"] async for each in there.tasks(page_size=2)] == ["p2", "p1", "p0"]
        async with aclosing(there.tasks(page_size=1)) as few:
            assert (await anext(few))["task_id"] == "p2"

    async def test_files_go_to_and_fro(self, there, tmp_path):
        await there.train(bodies.training(), task_id="t1")
        await there.upload(b"x" * 600_000, "out/weights.bin")
        seen = []
        fetched = await there.download("t1", "weights.bin", tmp_path, on_progress=lambda *each: seen.append(each))
        assert fetched.read_bytes() == b"x" * 600_000
        assert seen[-1] == (600_000, 600_000)

    async def test_a_missing_key_is_told(self, there, access):
        key = mint_key("somebody", Role.ADMIN, now=START)
        await access.put(KeyTable(1, {key.key.key_id: key.key}))
        with pytest.raises(KeyNeededError):
            await there.info()
