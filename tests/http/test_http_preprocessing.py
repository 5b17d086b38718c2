"""Split, augment, crop and spectrogram as the contract has them."""

import pytest

from actors.core.model import WorkKind
from actors.core.tasks import Progress, TaskFault
from actors.preprocessing.plan import METHODS
from actors.signals.recipe import Recipe
from serve_app.schemas.preprocessing import PreprocessingResponse
from serve_app.schemas.tasks import ErrorResponse, TaskActionResponse
from serve_app.schemas.waiting import ExplainResponse
from tests.fakes import make_line
from tests.http import bodies

pytestmark = pytest.mark.anyio

BODIES = {"split": bodies.split, "augment": bodies.augment, "crop": bodies.crop, "spectrogram": bodies.spectrogram}
TYPES = {"split": "dataset_split", "augment": "data_augmentation", "crop": "image_crop", "spectrogram": "spectrogram"}
STATS = {"total_images": 402, "train_images": 322, "val_images": 80, "test_images": 0, "classes": 10}


async def submit(client, kind, **changes):
    answer = await client.post(f"/api/v2/preprocessing/{kind}", json=BODIES[kind](**changes))
    assert answer.status_code == 200, answer.text
    return PreprocessingResponse.model_validate(answer.json())


async def wrong_field(client, kind, field, **changes):
    """The message about the one wrong field of a body that must be refused."""
    answer = await client.post(f"/api/v2/preprocessing/{kind}", json=BODIES[kind](**changes))
    assert answer.status_code == 422, answer.text
    (found,) = ErrorResponse.model_validate(answer.json()).detail
    assert found.loc[:2] == ["body", field]
    return found.msg


class TestStart:
    @pytest.mark.parametrize("kind", BODIES)
    async def test_it_answers_the_pending_task(self, client, kind):
        task = await submit(client, kind, task_id="p1", description="for later")
        assert (task.task_id, task.task_type, task.status, task.progress, task.stats) == ("p1", TYPES[kind], "pending", 0, None)

    @pytest.mark.parametrize("kind", BODIES)
    async def test_it_runs_on_the_cpu_as_work_of_its_own_kind(self, client, tasks, kind):
        await submit(client, kind)
        (submission,) = tasks.submissions
        assert (submission.work, submission.device, submission.device_count) == (WorkKind.PREPROCESSING, "cpu", 1)
        assert submission.max_retries == 2

    async def test_it_shows_the_paths_as_they_were_given(self, client):
        task = await submit(client, "split", input_path="./pictures", output_path="sets/a")
        assert (task.input_path, task.output_path) == ("./pictures", "sets/a")

    @pytest.mark.parametrize("left_open", [{}, {"output_path": None}, {"output_path": ""}])
    async def test_an_enlarged_data_set_goes_beside_the_small_one_by_default(self, client, left_open):
        task = await submit(client, "augment", dataset_path="sets/drones/", **left_open)
        assert (task.input_path, task.output_path) == ("sets/drones/", "sets/drones_aug")

    async def test_what_is_left_open_gets_the_defaults_of_the_contract(self, client, tasks):
        await submit(client, "split")
        await submit(client, "augment", methods=None)
        split, augmentation = (submission.request for submission in tasks.submissions)
        assert (split["train_ratio"], split["val_ratio"], split["seed"], split["group_by"]) == (0.8, None, 0, "recording")
        assert (augmentation["methods"], augmentation["seed"]) == (list(METHODS), 0)

    async def test_pictures_of_recordings_get_the_defaults_of_the_contract(self, client, tasks):
        await submit(client, "spectrogram", recipe={"pipeline": "P1", "picture_size": [640, 480]})
        request = tasks.submissions[0].request
        defaults = {"image_size": 224, "train_ratio": 0.8, "val_ratio": None, "seed": 0}
        assert {name: request[name] for name in defaults} == defaults
        assert {request[name] for name in ("sample_rate", "center_frequency", "format")} == {None}
        assert Recipe.of(request["recipe"], sample_rate=1e6) == Recipe.of(
            {"pipeline": "P1", "picture_size": [640, 480]}, sample_rate=1e6
        )

    async def test_the_recipe_of_a_recipe_file_is_taken_as_it_is(self, client, tasks):
        recipe = Recipe.p1().to_dict()
        await submit(client, "spectrogram", recipe=recipe)
        assert Recipe.from_dict(tasks.submissions[0].request["recipe"]) == Recipe.p1()

    async def test_repeating_it_answers_the_first_task_and_another_body_is_a_conflict(self, client, tasks):
        first = await submit(client, "split", task_id="p1")
        assert await submit(client, "split", task_id="p1") == first
        answer = await client.post("/api/v2/preprocessing/split", json=bodies.split(task_id="p1", seed=3))
        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_id")
        answer = await client.post("/api/v2/preprocessing/crop", json=bodies.crop(task_id="p1"))
        assert (answer.status_code, answer.json()["code"]) == (409, "duplicate_id")
        assert len(tasks.flow.tasks) == 1

    @pytest.mark.parametrize("kind", BODIES)
    async def test_a_path_that_is_not_there_and_a_full_line_are_told(self, client, tasks, path_not_found, line_full, kind):
        tasks.refusals = [path_not_found, line_full]
        answers = [await client.post(f"/api/v2/preprocessing/{kind}", json=BODIES[kind]()) for _ in range(2)]
        assert [(each.status_code, each.json()["code"]) for each in answers] == [(404, "path_not_found"), (429, "queue_full")]


class TestWrongBodies:
    @pytest.mark.parametrize(
        ("field", "value", "told"),
        [
            ("train_ratio", 0.09, "greater than or equal to 0.1"),
            ("train_ratio", 0.91, "less than or equal to 0.9"),
            ("val_ratio", 0.04, "greater than or equal to 0.05"),
            ("val_ratio", 0.51, "less than or equal to 0.5"),
            ("val_ratio", 0.2, "below 1"),
            ("seed", -1, "greater than or equal to 0"),
            ("group_by", "", "at least 1 character"),
            ("group_by", "speed", "has no group"),
            ("group_by", "(unclosed", "is no regular expression"),
            ("group_by", "(" * 199, "is no regular expression"),
            ("group_by", "(a{99999999999999999999})", "is no regular expression"),
            ("group_by", "x" * 201, "at most 200"),
            ("input_path", "", "at least 1 character"),
            ("input_path", "a\0b", "NUL"),
            ("output_path", None, "valid string"),
            ("device", "cpu", "not permitted"),
        ],
    )
    async def test_a_split_that_cannot_be_is_refused_by_its_field(self, client, tasks, field, value, told):
        assert told in await wrong_field(client, "split", field, **{field: value})
        assert not tasks.submissions

    @pytest.mark.parametrize(
        ("methods", "told"),
        [
            (["CLAHE", "Blur"], f"unknown methods: Blur Choose of {', '.join(METHODS)}"),
            (["clahe"], "unknown methods: clahe"),
            ([], "at least 1 item"),
            (["CLAHE", "CLAHE"], "names one twice"),
            ("CLAHE", "valid list"),
        ],
    )
    async def test_methods_that_are_not_there_are_refused(self, client, methods, told):
        assert told in await wrong_field(client, "augment", "methods", methods=methods)

    @pytest.mark.parametrize(
        ("field", "value", "told"),
        [
            ("recipe", {"pipeline": "P3"}, "'P1', 'P2' or 'native'"),
            ("recipe", {"pipeline": "native", "colours": 3}, "not permitted"),
            ("recipe", {"pipeline": "P1", "overlap": 0.25}, "overlap"),
            ("recipe", None, "dictionary"),
            ("image_size", 31, "greater than or equal to 32"),
            ("image_size", 8193, "less than or equal to 8192"),
            ("train_ratio", 0.95, "less than or equal to 0.9"),
            ("val_ratio", 0.2, "below 1"),
            ("sample_rate", 0, "greater than or equal to 1"),
            ("format", "cf16", "'cf32_le'"),
            ("group_by", "file", "not permitted"),
        ],
    )
    async def test_spectrograms_that_cannot_be_are_refused_by_their_field(self, client, tasks, field, value, told):
        assert told in await wrong_field(client, "spectrogram", field, **{field: value})
        assert not tasks.submissions

    async def test_a_recipe_must_be_chosen(self, client):
        body = bodies.spectrogram()
        del body["recipe"]
        answer = await client.post("/api/v2/preprocessing/spectrogram", json=body)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "recipe"])

    @pytest.mark.parametrize(
        ("field", "value"), [("x", -1), ("y", -1), ("width", 0), ("height", 0), ("x", 1.5), ("width", "wide"), ("height", 10**9)]
    )
    async def test_a_box_that_cannot_be_is_refused(self, client, field, value):
        assert await wrong_field(client, "crop", field, **{field: value})

    async def test_a_box_has_four_sides(self, client):
        body = bodies.crop()
        del body["width"]
        answer = await client.post("/api/v2/preprocessing/crop", json=body)
        assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["body", "width"])

    @pytest.mark.parametrize("ratios", [(0.7, 0.25), (0.9, 0.05), (0.5, 0.45)])
    async def test_ratios_that_leave_a_test_part_are_taken(self, client, ratios):
        await submit(client, "split", train_ratio=ratios[0], val_ratio=ratios[1])

    @pytest.mark.parametrize("ratios", [(0.7, 0.3), (0.9, 0.1), (0.65, 0.35), (0.55, 0.45)])
    async def test_ratios_that_add_up_to_one_leave_none(self, client, ratios):
        assert "nothing for test" in await wrong_field(client, "split", "val_ratio", train_ratio=ratios[0], val_ratio=ratios[1])

    @pytest.mark.parametrize("grouping", ["file", "recording", r"^(.*)_\d+$", r"(?:a|b)(c)(d)"])
    async def test_groupings_of_every_form_are_taken(self, client, tasks, grouping):
        await submit(client, "split", group_by=grouping)
        assert tasks.submissions[0].request["group_by"] == grouping


class TestTask:
    async def test_a_completed_one_tells_what_it_counted(self, client, tasks):
        await submit(client, "split", task_id="p1")
        tasks.grant("p1", "cpu:0", units=300)
        tasks.progress("p1", Progress(40, "161 of 402 pictures"))
        task = PreprocessingResponse.model_validate((await client.get("/api/v2/preprocessing/p1")).json())
        assert (task.status, task.progress, task.message, task.stats) == ("running", 40, "161 of 402 pictures", None)
        tasks.progress("p1", Progress(100, "split", stats=STATS))
        tasks.finish("p1")
        task = PreprocessingResponse.model_validate((await client.get("/api/v2/preprocessing/p1")).json())
        assert (task.status, task.progress, task.stats) == ("completed", 100, STATS)
        assert task.updated_at > task.created_at

    async def test_a_failed_one_says_why(self, client, tasks):
        await submit(client, "crop", task_id="p1")
        tasks.grant("p1", "cpu:0", units=300)
        tasks.finish("p1", "failed", fault=TaskFault("no_picture_cropped", "all 3 pictures failed", "see the log"))
        task = (await client.get("/api/v2/preprocessing/p1")).json()
        assert (task["status"], task["message"]) == ("failed", "all 3 pictures failed")

    @pytest.mark.parametrize("kind", BODIES)
    async def test_lists_show_it_among_its_own_kind(self, client, kind):
        await submit(client, kind, task_id="p1")
        await client.post("/api/v2/training/start", json=bodies.training())
        page = (await client.get("/api/v2/tasks")).json()
        assert (page["total_preprocessing"], page["total_training"]) == (1, 1)
        assert page["preprocessing_tasks"][0]["task_id"] == "p1"
        page = (await client.get("/api/v2/tasks", params={"task_type": TYPES[kind]})).json()
        assert (page["total_preprocessing"], page["total_training"]) == (1, 0)

    async def test_its_log_is_a_stream_and_an_array(self, client, logs):
        await submit(client, "split", task_id="p1")
        await logs.write("p1", make_line("one"), make_line("two", status="completed"), is_last=True)
        answer = await client.get("/api/v2/preprocessing/p1/logs")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text.count("data: ") == 2
        lines = (await client.get("/api/v2/preprocessing/p1/logs", params={"format": "json"})).json()
        assert [line["message"] for line in lines] == ["one", "two"]

    async def test_cancelling_takes_it_out_of_the_line_or_stops_it(self, client, tasks):
        await submit(client, "split", task_id="p1")
        await submit(client, "split", task_id="p2")
        tasks.grant("p2", "cpu:0", units=300)
        answers = [(await client.post(f"/api/v2/preprocessing/{task_id}/cancel")).json() for task_id in ("p1", "p2")]
        assert [TaskActionResponse(**answer).message for answer in answers] == ["task cancelled", "task is being stopped"]
        again = await client.post("/api/v2/preprocessing/p1/cancel")
        assert (again.status_code, again.json()["code"]) == (404, "task_already_ended")

    @pytest.mark.parametrize(("method", "path"), [("GET", ""), ("GET", "/logs"), ("POST", "/cancel")])
    async def test_what_is_no_preprocessing_is_not_found_there_and_nothing_happens_to_it(self, client, tasks, method, path):
        await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
        for task_id in ("t1", "nobody", ".."):
            answer = await client.request(method, f"/api/v2/preprocessing/{task_id}{path}")
            assert answer.status_code == 404
        assert tasks.flow.get("t1").state == "pending"

    async def test_a_preprocessing_task_is_no_training_and_no_inference(self, client):
        await submit(client, "split", task_id="p1")
        assert (await client.get("/api/v2/training/p1")).status_code == 404
        assert (await client.get("/api/v2/inference/p1")).status_code == 404
        assert (await client.get("/api/v2/tasks/p1")).json()["task_type"] == "dataset_split"


@pytest.mark.parametrize("kind", BODIES)
async def test_it_is_explained_without_being_submitted(client, tasks, kind):
    body = {"task_type": TYPES[kind], "request": BODIES[kind](task_id="p1")}
    answer = ExplainResponse(**(await client.post("/api/v2/tasks/explain", json=body)).json())
    assert answer.would_start
    assert (tasks.submissions[0].task_type, tasks.flow.tasks) == (TYPES[kind], {})
