"""Online predictions over HTTP: what may be sent, what is ordered of the predictor, and what becomes of deadlines and callers who leave."""

import base64
import contextlib
import json
import time
from dataclasses import replace

import jsonschema_rs
import pytest

from actors.core.errors import DeadlineExceededError, ModelCheckError, PredictionInputError, ServingFullError
from actors.files import disk_room
from actors.learning.prediction_files import Prediction
from actors.online.orders import ALL_CLASSES, UNKNOWN_CLASS
from configs.settings import Settings
from serve_app import predict_bodies, receiving
from serve_app.context import BODY_ROOM_BYTES
from serve_app.ports import NotReadyError
from serve_app.schemas.predict import PredictResponse
from serve_app.shape_predict import summarise
from serve_app.spool import Spool
from tests.fake_serving import make_version
from tests.http.callers import error_code

pytestmark = pytest.mark.anyio

PREDICT = "/api/v2/predict"
PNG = {"content-type": "image/png"}
RAW = {"content-type": "application/octet-stream"}
RECIPE = {"pipeline": "native"}


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path / "var", max_predict_mb=1, max_predict_frames=4)


@pytest.fixture(autouse=True)
async def registered(models):
    """drones with two versions, the older of which is in production; both take recordings."""
    await models.put(make_version(version=1, recipe=RECIPE), make_version(version=2, recipe=RECIPE), aliases={"production": 1})


@pytest.fixture
def spooled(settings):
    """The files that lie in the spool now."""
    return lambda: sorted(path.name for path in (settings.state_dir / "spool").rglob("*") if path.is_file() and path.name != "lock")


@pytest.fixture
def seen(predictor, monkeypatch):
    """What lay in the spool while the predictor was asked: by name, the content."""
    found = {}
    predict = predictor.predict

    async def look(order):
        for content in order.contents:
            if content.path is not None:
                found.update({path.name: path.read_bytes() for path in content.path.parent.iterdir()})
        return await predict(order)

    monkeypatch.setattr(predictor, "predict", look)
    return found


async def post(client, content=b"picture", headers=PNG, **params):
    return await client.post(PREDICT, params=params, content=content, headers=headers)


def files(*named):
    return [("files", each) for each in named]


class TestPictures:
    async def test_a_picture_is_handed_on_in_memory_and_answered(self, client, predictor, spooled):
        answer = await post(client, model="drones", top_k=2)
        assert answer.status_code == 200, answer.text
        body = PredictResponse.model_validate_json(answer.content, strict=True)
        assert (body.model, body.version, body.device, body.precision, body.simulated) == ("drones", 1, "cpu:0", "float32", False)
        assert [(row.file, row.class_name, row.segment) for row in body.predictions] == [("body.png", "AVATA", None)]
        assert (body.summary, body.cached) == ([], False)
        assert (body.timing.queue_ms, body.timing.preprocess_ms, body.timing.forward_ms, body.timing.batch_sizes) == (1, 2, 3, [1])
        assert body.timing.total_ms > 0
        (order,) = predictor.orders
        assert (order.model.key, order.top_k, order.timeout_s, order.may_follow) == (("drones", 1), 2, None, True)
        assert [(each.kind, each.data, each.path) for each in order.contents] == [("picture", b"picture", None)]
        assert spooled() == []

    async def test_the_answer_is_as_the_document_says(self, client, built_app):
        document = built_app.openapi()
        operation = document["paths"][PREDICT]["post"]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        answer = (await post(client, headers=RAW)).json()
        jsonschema_rs.validator_for(schema | {"components": document["components"]}).validate(answer)
        assert set(answer) == {
            *["model", "version", "device", "simulated", "precision", "cached", "predictions", "summary", "spectrograms", "timing"]
        }
        assert set(answer["timing"]) == {"queue_ms", "preprocess_ms", "forward_ms", "total_ms", "batch_sizes"}
        row = {*["file", "segment", "class", "confidence", "top", "error", "start_s", "duration_s"]}
        assert [set(each) for each in answer["predictions"]] == [row]
        assert set(operation["requestBody"]["content"]) == set(predict_bodies.PREDICT_TYPES)

    @pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff"])
    async def test_every_type_of_picture_is_taken(self, client, predictor, kind):
        assert (await post(client, headers={"content-type": f"image/{kind}; q=1"})).status_code == 200
        assert predictor.orders[0].contents[0].kind == "picture"

    async def test_a_large_picture_goes_over_the_disk_and_nothing_is_left_of_it(
        self, client, predictor, seen, spooled, monkeypatch
    ):
        monkeypatch.setattr(predict_bodies, "PICTURE_IN_MEMORY_BYTES", 10)
        assert (await post(client, b"x" * 11)).status_code == 200
        (content,) = predictor.orders[0].contents
        assert (content.data, content.path.name, seen) == (b"", "body.png", {"body.png": b"x" * 11})
        assert spooled() == []

    @pytest.mark.parametrize(
        ("text", "version", "may_follow"),
        [("drones@2", 2, False), ("drones@v1", 1, False), ("drones@production", 1, True), ("drones", 1, True), ("", 1, True)],
    )
    async def test_the_model_is_named_by_version_or_alias_or_left_out_where_there_is_one(
        self, client, predictor, text, version, may_follow
    ):
        assert (await post(client, **({"model": text} if text else {}))).json()["version"] == version
        assert predictor.orders[0].may_follow is may_follow

    async def test_of_several_models_one_must_be_named(self, client, models):
        await models.put(make_version("birds"))
        answer = await post(client)
        assert error_code(answer) == (422, "invalid_field")
        assert "birds, drones" in answer.json()["message"]

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"model": "birds"}, (404, "model_not_found")),
            ({"model": "drones@9"}, (404, "model_not_found")),
            ({"model": "../x"}, (422, "invalid_field")),
            ({"top_k": 0}, (422, "invalid_field")),
            ({"top_k": 101}, (422, "invalid_field")),
            ({"format": "rf32"}, (422, "invalid_field")),
            ({"sample_rate": "nan"}, (422, "invalid_field")),
            ({"sample_rate": -1}, (422, "invalid_field")),
            ({"center_frequency": "inf"}, (422, "invalid_field")),
        ],
    )
    async def test_a_wrong_parameter_is_told(self, client, predictor, params, expected):
        answer = await post(client, **params)
        assert error_code(answer) == expected
        assert next(iter(params)) in answer.json()["message"] or answer.status_code == 404
        assert not predictor.orders


class TestRefusals:
    @pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/svg+xml", "", "image"])
    async def test_another_type_is_a_415_that_names_those_there_are(self, client, kind):
        answer = await post(client, headers={"content-type": kind})
        assert error_code(answer) == (415, "unsupported_media_type")
        assert "image/png" in answer.json()["message"]

    async def test_too_large_a_body_is_a_413_announced_or_not(self, client, predictor, spooled):
        async def parts():
            for _ in range(3):
                yield b"x" * 500_000

        for content in (b"x" * 1_100_000, parts()):
            answer = await post(client, content, RAW)
            assert error_code(answer) == (413, "body_too_large")
            assert "RFUAV_MAX_PREDICT_MB" in answer.json()["message"]
        assert (predictor.orders, spooled()) == ([], [])

    async def test_more_bodies_than_memory_has_room_for_are_told_to_come_again(self, client, app):
        room = app.state.service.body_room
        with room.take() as others:
            others.grow(BODY_ROOM_BYTES - 5)
            answer = await post(client, b"x" * 6)
            assert error_code(answer) == (429, "serving_full")
            assert int(answer.headers["retry-after"]) > 0
            assert (await post(client, b"x" * 5)).status_code == 200
        assert (await post(client, b"x" * 6)).status_code == 200

    async def test_an_empty_body_is_told(self, client):
        assert error_code(await post(client, b"")) == (422, "invalid_input")

    async def test_a_full_disk_is_a_503_and_nothing_is_left(self, client, spooled, monkeypatch):
        monkeypatch.setattr(disk_room, "RESERVE_BYTES", 1 << 62)
        answer = await post(client, headers=RAW)
        assert error_code(answer) == (503, "disk_full")
        assert int(answer.headers["retry-after"]) > 0
        assert spooled() == []
        assert (await post(client)).status_code == 200, "pictures in memory need no disk"

    @pytest.mark.parametrize(
        ("error", "expected", "wait"),
        [
            (ServingFullError("every replica has enough"), (429, "serving_full"), "1"),
            (NotReadyError("predictor", 7), (503, "not_ready"), "7"),
            (DeadlineExceededError("late"), (504, "deadline_exceeded"), None),
            (PredictionInputError("no picture"), (422, "invalid_input"), None),
            (ModelCheckError("drones@1", "its file is gone"), (409, "model_check_failed"), None),
        ],
    )
    async def test_what_the_predictor_refuses_is_told_with_when_to_come_again(self, client, predictor, error, expected, wait):
        predictor.error = error
        answer = await post(client)
        assert error_code(answer) == expected
        assert answer.headers.get("retry-after") == wait

    async def test_without_a_registry_nothing_is_predicted(self, client, models):
        models.is_ready = False
        assert error_code(await post(client)) == (503, "not_ready")

    async def test_who_has_sent_nothing_yet_keeps_nobody_out(self, client, app):
        with contextlib.ExitStack() as silent:
            for _ in range(100):
                silent.enter_context(app.state.service.body_room.take())
            assert (await post(client)).status_code == 200

    async def test_a_body_that_comes_too_slowly_is_refused(self, client, monkeypatch):
        monkeypatch.setattr(receiving, "PATIENCE_S", -1.0)
        answer = await post(client, b"x")
        assert error_code(answer) == (400, "body_incomplete")
        assert "too slowly" in answer.json()["message"]

    async def test_a_promotion_during_the_upload_is_seen(self, client, app, models, predictor):
        async def parts():
            yield b"x"
            await models.put(make_version(version=2, recipe=RECIPE), aliases={"production": 2})
            await app.state.service.models.refresh()
            yield b"y"

        assert (await post(client, parts())).status_code == 200
        assert predictor.orders[0].model.version == 2


class TestRecordings:
    async def test_nothing_is_left_where_the_deadline_ends_during_a_write(self, client, spooled, monkeypatch):
        make = Spool.make_folder

        def make_slowly(spool):
            time.sleep(0.2)  # a slow disk
            return make(spool)

        monkeypatch.setattr(Spool, "make_folder", make_slowly)
        answer = await post(client, headers={**RAW, "x-request-timeout": "0.05"})
        assert error_code(answer) == (504, "deadline_exceeded")
        assert spooled() == []

    async def test_samples_are_spooled_and_read_as_the_request_says(self, client, predictor, seen, spooled):
        answer = await post(client, b"samples", RAW, format="ci16", sample_rate=1e6, center_frequency=2.4e9)
        assert answer.status_code == 200, answer.text
        (content,) = predictor.orders[0].contents
        assert (content.kind, content.datatype, content.sample_rate, content.center_frequency) == (
            "recording",
            "ci16_le",
            1e6,
            2.4e9,
        )
        assert (seen, spooled()) == ({"body.iq": b"samples"}, [])

    async def test_a_recording_is_shown_where_that_is_wanted(self, client, predictor):
        answer = PredictResponse.model_validate_json((await post(client, b"s", RAW, spectrogram="true")).content)
        (shown,) = answer.spectrograms
        assert (shown.file, base64.b64decode(shown.png_base64)) == ("body.iq", b"PNG of body.iq")
        assert (shown.width, shown.height, shown.duration_s, shown.center_frequency, shown.sample_rate) == (
            1200,
            224,
            0.5,
            None,
            1e6,
        )
        plain = await post(client, b"s", RAW)
        assert (plain.json()["spectrograms"], predictor.orders[-1].spectrogram) == ([], False)

    async def test_a_wav_keeps_its_ending(self, client, seen):
        assert (await post(client, b"RIFF", {"content-type": "audio/wav"})).status_code == 200
        assert list(seen) == ["body.wav"]

    async def test_the_caller_sees_top_k_while_the_summary_is_made_of_all_classes(self, client, predictor, monkeypatch):
        def answer_all(order, content):
            return Prediction(content.file, "AVATA", 60.0, (("AVATA", 60.0), ("MINI", 40.0)), 0, start_s=0.0, duration_s=0.1)

        monkeypatch.setattr(predictor, "_row", answer_all)
        answer = PredictResponse.model_validate_json((await post(client, b"s", RAW, top_k=1)).content)
        assert predictor.orders[0].top_k == ALL_CLASSES
        assert [len(row.top) for row in answer.predictions] == [1]
        (summary,) = answer.summary
        assert (summary.file, summary.class_name, len(summary.top), summary.frames, summary.seconds) == (
            "body.iq",
            "AVATA",
            1,
            1,
            0.1,
        )

    async def test_the_summary_follows_the_version_that_answered(self, client, predictor, monkeypatch):
        predict = predictor.predict

        async def answer_strictly(order):
            return replace(await predict(order), version=2, unknown_below=1.01)

        monkeypatch.setattr(predictor, "predict", answer_strictly)
        (summary,) = (await post(client, b"s", RAW)).json()["summary"]
        assert summary["class"] == UNKNOWN_CLASS

    async def test_a_recording_for_a_model_without_a_recipe_is_refused_before_it_is_sent(self, client, models):
        await models.put(make_version("pictures"))

        async def never():
            pytest.fail("the body was asked for")
            yield b""

        answer = await post(client, never(), RAW, model="pictures")
        assert error_code(answer) == (422, "invalid_input")
        assert "pictures@1" in answer.json()["message"]

    async def test_errors_name_the_file_and_not_where_it_lay(self, client, predictor, monkeypatch, settings):
        def fail(order, content):
            return Prediction(content.file, None, None, error=f"{content.path} is too short")

        monkeypatch.setattr(predictor, "_row", fail)
        answer = await post(client, b"s", RAW)
        assert answer.json()["predictions"][0]["error"] == "body.iq is too short"
        assert answer.json()["summary"][0]["error"] == "body.iq is too short"
        assert str(settings.state_dir) not in answer.text


async def test_a_summary_has_the_class_of_the_greatest_mean():
    rows = [
        Prediction("a", "x", 60.0, (("x", 60.0), ("y", 40.0)), 0, start_s=0.0, duration_s=0.5),
        Prediction("a", "y", 90.0, (("y", 90.0), ("x", 10.0)), 1, start_s=0.5, duration_s=0.5),
        Prediction("a", None, None, segment=2, error="no samples"),
    ]
    summary = summarise("a", rows, top_k=5, unknown_below=None)
    assert (summary.class_name, summary.confidence, summary.frames, summary.seconds) == ("y", 65.0, 2, 1.0)
    assert summary.top == (("y", 65.0), ("x", 35.0))
    assert summary.frames_per_class == (("x", 1), ("y", 1))
    assert summary.error == "1 of 3 frames have no answer; the first: no samples"
    assert summarise("a", rows, top_k=1, unknown_below=0.7).class_name == UNKNOWN_CLASS
    assert summarise("a", rows[2:], top_k=1, unknown_below=0.7).class_name is None


class TestSeveralFiles:
    async def test_pictures_and_recordings_are_told_apart_by_their_names(self, client, predictor, seen):
        sent = files(("b.PNG", b"1"), ("sub/a.jpeg", b"2"), ("pack_100Msps.iq", b"3", "image/png"))
        answer = await client.post(PREDICT, files=sent)
        assert answer.status_code == 200, answer.text
        contents = predictor.orders[0].contents
        assert [(each.file, each.kind, each.data) for each in contents] == [
            ("b.PNG", "picture", b"1"),
            ("sub/a.jpeg", "picture", b"2"),
            ("pack_100Msps.iq", "recording", b""),
        ]
        assert seen == {"pack_100Msps.iq": b"3"}, "names tell sample rates"
        assert [row["file"] for row in answer.json()["summary"]] == ["pack_100Msps.iq"]

    async def test_a_sigmf_pair_is_one_recording(self, client, predictor, seen, spooled):
        meta = json.dumps({"global": {"core:datatype": "cf32_le"}}).encode()
        answer = await client.post(PREDICT, files=files(("a.sigmf-data", b"12345678"), ("a.sigmf-meta", meta)))
        assert answer.status_code == 200, answer.text
        (content,) = predictor.orders[0].contents
        assert (content.file, content.path.name, set(seen)) == ("a.sigmf-meta", "a.sigmf-meta", {"a.sigmf-data", "a.sigmf-meta"})
        assert spooled() == []

    async def test_an_xml_file_lies_beside_its_recording_and_is_none_itself(self, client, predictor, seen):
        answer = await client.post(PREDICT, files=files(("a.iq", b"1234"), ("a.xml", b"<a/>")))
        assert answer.status_code == 200, answer.text
        assert ([each.file for each in predictor.orders[0].contents], set(seen)) == (["a.iq"], {"a.iq", "a.xml"})

    async def test_pictures_beyond_the_memory_of_a_request_go_over_the_disk(self, client, predictor, seen, monkeypatch):
        monkeypatch.setattr(predict_bodies, "PICTURES_IN_MEMORY_BYTES", 15)
        await client.post(PREDICT, files=files(("a.png", b"x" * 10), ("b.png", b"y" * 10)))
        assert [each.data for each in predictor.orders[0].contents] == [b"x" * 10, b""]
        assert seen == {"b.png": b"y" * 10}

    @pytest.mark.parametrize(
        ("sent", "word"),
        [
            ([("a.png", b"1"), ("x/a.png", b"2")], "two files"),
            ([("a.exe", b"1")], "a.exe"),
            ([("a", b"1")], "'a'"),
            ([(".png", b"1")], "hidden"),
            ([(".a.png", b"1")], "hidden"),
            ([("x" * 300 + ".png", b"1")], "255"),
            ([("a.png", b"")], "a.png"),
            ([("a.xml", b"<a/>")], "no file"),
            ([(f"{number}.png", b"1") for number in range(5)], "4 files"),
        ],
    )
    async def test_a_file_that_cannot_be_predicted_is_told(self, client, predictor, spooled, sent, word):
        answer = await client.post(PREDICT, files=files(*sent))
        assert error_code(answer) == (422, "invalid_input")
        assert word in answer.json()["message"]
        assert (predictor.orders, spooled()) == ([], [])

    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            ("multipart/form-data", b"--x--"),
            ("multipart/form-data; boundary=", b"--x--"),
            (f"multipart/form-data; boundary={'x' * 500}", b"--x--"),
            ("multipart/form-data; boundary=x", b""),
            ("multipart/form-data; boundary=x", b"picture"),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; filename="a.png"\r\n\r\n1\r\n'),
            ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; filename="\xff.png"\r\n\r\n1\r\n--x--'),
            ("multipart/form-data; boundary=x", b"--x\r\n\r\n1\r\n--x--"),
        ],
    )
    async def test_a_malformed_body_is_a_400(self, client, kind, content):
        assert error_code(await post(client, content, {"content-type": kind})) == (400, "invalid_multipart")
