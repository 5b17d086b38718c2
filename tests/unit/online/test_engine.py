"""Online answers are those of a job, whole orders succeed or fail for reasons of their own, and work that nobody awaits is dropped."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.core.errors import DeadlineExceededError, ModelCheckError, PredictionError, PredictionInputError
from actors.learning.errors import WeightsError
from actors.learning.pictures import decode_picture
from actors.learning.predictor import in_percent
from actors.online.loading import LoadedVersion
from actors.online.orders import UNKNOWN_CLASS, Content, PrepareOrder, TensorOrder
from actors.registry.records import Precision
from tests.unit.learning.inference_runs import Run
from tests.unit.online.versions import (
    CLASSES,
    RATE,
    RECIPE,
    SIZE,
    encoded,
    job_predictor,
    order_of,
    picture,
    with_wish,
    write_version,
)
from tests.unit.signals.recordings import encode, make_samples

FLOAT32 = {"precision": Precision.FLOAT32}


def recording(folder: Path, count: int = 23_000, *, name: str = "a_433.92M_100k.cf32", samples=None) -> Content:
    path = folder / f"spooled_{name}"
    path.write_bytes(encode(make_samples(count) if samples is None else samples, "cf32_le"))
    return Content(name, "recording", path=path, sample_rate=RATE)


def predict(engine, *args, **parts):
    return asyncio.run(engine.predict(order_of(*args, **parts)))


def values(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, 3, SIZE, SIZE), np.float32)


@asynccontextmanager
async def pass_under_way(engine, model, gate):
    """Have a forward pass stand still while the block lasts, and end it and what follows it afterwards."""
    await engine.prepare(PrepareOrder(model))
    gate.shut()
    running = asyncio.create_task(engine.infer(TensorOrder(model, values(1))))
    await gate.wait_for_pass()
    yield
    gate.open()
    await running
    await asyncio.wrap_future(engine._batcher.pause())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pictures_are_answered_as_a_job_answers_them(engines, model, kind):
    files = [Content(f"{seed}", "picture", encoded(seed, kind)) for seed in range(9)]
    answer = predict(engines(**FLOAT32), model, *files, top_k=2)
    predictor = job_predictor(model)
    for file, entry in zip(files, answer.predictions, strict=True):
        (ranking,) = predictor.top(predictor.predict(decode_picture(file.data, SIZE)[None]), 2)
        told = in_percent(ranking)
        assert (entry.file, entry.class_name, entry.error, entry.segment) == (file.file, told[0][0], None, None)
        assert [name for name, _ in entry.top] == [name for name, _ in told]
        assert [percent for _, percent in entry.top] == pytest.approx([percent for _, percent in told], abs=1e-2)


def test_an_answer_names_its_version_its_device_and_its_replica(engines, model):
    engine = engines(**FLOAT32)
    engine.place("node:gpu-0", simulated=True)
    answer = predict(engine, model)
    assert (answer.name, answer.version, answer.precision) == ("drones", 1, Precision.FLOAT32)
    assert (answer.device, answer.simulated, answer.replica_id) == ("node:gpu-0", True, "replica-1")
    assert answer.timing.batch_sizes == (1,)
    assert min(answer.timing.preprocess_s, answer.timing.forward_s) > 0


def test_each_load_is_noted_with_the_answers_that_nobody_had_told(engines, model):
    engine = engines()
    predict(engine, model)
    predict(engine, model)
    (note,) = engines.notes
    assert (note.name, note.version, len(note.golden_expected)) == ("drones", 1, 3)
    assert engine.loaded()[0].requests == 2


def test_a_note_that_cannot_be_taken_does_not_fail_the_load(engines, model, caplog):
    engine = engines()
    engine._on_load = lambda _note: 1 / 0
    assert predict(engine, model).predictions
    assert "could not be noted" in caplog.text


def test_frames_are_answered_as_a_job_answers_them(engines, model, tmp_path):
    file = recording(tmp_path)
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / file.file).write_bytes(file.path.read_bytes())
    (tmp_path / "best_model.pth").write_bytes(Path(model.weights_path).read_bytes())
    names = {name: index for index, name in enumerate(CLASSES)}
    (tmp_path / "config.yaml").write_text(
        f"model: {model.architecture}\nnum_classes: 3\nclass_names: {names}\nimage_size: {SIZE}\n"
    )
    job = Run(tmp_path, tmp_path, recipe=RECIPE)
    job()
    answer = predict(engines(**FLOAT32), model, file, top_k=3)
    assert len(answer.predictions) == 11
    for entry, row in zip(answer.predictions, job.entries, strict=True):
        assert (entry.file, entry.segment, entry.class_name) == (row["file"], row["segment"], row["class"])
        assert (entry.start_s, entry.duration_s) == (row["start_s"], row["duration_s"])
        assert [each for _, each in entry.top] == pytest.approx([each["confidence"] for each in row["top"]], abs=1e-2)
    assert max(answer.timing.batch_sizes) > 1
    assert sum(answer.timing.batch_sizes) == 11


def test_pictures_and_recordings_of_one_order_are_answered_in_its_order(engines, model, tmp_path):
    answer = predict(engines(), model, picture(1), recording(tmp_path, 4_000), picture(2))
    assert [(each.file, each.segment) for each in answer.predictions] == [
        ("1.png", None),
        ("a_433.92M_100k.cf32", 0),
        ("a_433.92M_100k.cf32", 1),
        ("2.png", None),
    ]


def test_a_frame_that_cannot_be_read_is_an_entry_with_its_place(engines, model, tmp_path):
    samples = make_samples(6_000)
    samples[2_500] = np.nan
    answer = predict(engines(), model, recording(tmp_path, samples=samples))
    assert [bool(each.error) for each in answer.predictions] == [False, True, False]
    assert (answer.predictions[1].segment, answer.predictions[1].start_s) == (1, 0.02)


def test_one_unreadable_file_among_several_is_an_entry_by_the_name_that_its_sender_knows(engines, model, tmp_path):
    empty = recording(tmp_path, 0)
    spooled = tmp_path / "spooled.png"
    spooled.write_bytes(b"no picture")
    broken = Content("sent.png", "picture", path=spooled)
    answer = predict(engines(), model, broken, picture(), empty)
    assert [bool(each.error) for each in answer.predictions] == [True, False, True]
    assert "sent.png cannot be decoded" in answer.predictions[0].error
    assert "spooled" not in f"{answer.predictions[0].error} {answer.predictions[2].error}"


def test_only_unreadable_files_are_an_error(engines, model):
    with pytest.raises(PredictionInputError, match="nothing of what was sent can be predicted: the picture sent cannot be decoded"):
        predict(engines(), model, Content("x.png", "picture", b"none"), Content("y.png", "picture", b""))


def test_a_recording_needs_a_recipe_and_a_file(engines, model, tmp_path):
    without = replace(model, recipe=None)
    with pytest.raises(PredictionInputError, match=r"drones@1 has no recipe.*register weights"):
        predict(engines(), without, recording(tmp_path))
    with pytest.raises(PredictionInputError, match=r"x.cf32: recordings are read from files"):
        predict(engines(), model, Content("x.cf32", "recording", b"data"))


def test_what_recordings_do_not_tell_must_be_told(engines, model, tmp_path):
    with pytest.raises(PredictionInputError, match="Give sample_rate"):
        predict(engines(), model, replace(recording(tmp_path, name="x.cf32"), sample_rate=None))


def test_more_than_the_most_frames_are_sent_to_jobs_before_anything_is_read(engines, model, tmp_path, gate):
    many = recording(tmp_path, 42_000)
    with pytest.raises(PredictionInputError, match=r"more than 20 .*/api/v2/inference"):
        predict(engines(), model, picture(), many)
    assert predict(engines(), model, recording(tmp_path, 40_000)).predictions[19].segment == 19
    with pytest.raises(PredictionInputError, match="at most 20"):
        asyncio.run(engines().infer(TensorOrder(model, values(21))))
    assert sum(gate.sizes) == 20


def test_a_best_class_below_the_threshold_is_unknown_and_top_tells_it_all_the_same(engines, model):
    engine = engines()
    known = predict(engine, model).predictions[0]
    asyncio.run(engine.free("drones", 1))
    strict = predict(engine, replace(model, unknown_below=known.confidence / 100 + 0.001)).predictions[0]
    assert strict == replace(known, class_name=UNKNOWN_CLASS)
    asyncio.run(engine.free("drones", 1))
    assert predict(engine, replace(model, unknown_below=known.confidence / 100 - 0.001)).predictions[0] == known


def test_tensors_are_answered_row_by_row(engines, model):
    batch = values(7)
    batch.flags.writeable = False
    answer = asyncio.run(engines(**FLOAT32).infer(TensorOrder(model, batch)))
    expected = job_predictor(model).predict(torch.from_numpy(values(7)))
    assert np.abs(answer.probabilities - expected).max() < 1e-4
    assert answer.probabilities.dtype == np.float32
    assert (answer.name, answer.version, sum(answer.timing.batch_sizes)) == ("drones", 1, 7)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (values(1)[0], r"the shape is \(3, 32, 32\); give \(n, 3, 32, 32\)"),
        (values(0), "the shape is"),
        (values(1)[:, :, :16], "the shape is"),
        (255 * values(1), "give 0 to 1"),
        (np.full((1, 3, SIZE, SIZE), np.nan, np.float32), "nan"),
    ],
)
def test_tensors_that_would_spoil_a_pass_are_refused(engines, model, batch, reason, gate):
    with pytest.raises(PredictionInputError, match=reason):
        asyncio.run(engines().infer(TensorOrder(model, batch)))
    assert gate.sizes == []


def test_orders_that_come_during_a_pass_share_the_next_one(engines, model, gate):
    engine = engines()

    async def run():
        await engine.predict(order_of(model))
        await gate.wait_for_pass()
        gate.shut()
        first = asyncio.create_task(engine.infer(TensorOrder(model, values(1))))
        await gate.wait_for_pass()
        others = [asyncio.create_task(engine.infer(TensorOrder(model, values(1, seed)))) for seed in range(4)]
        await asyncio.sleep(0)
        gate.open()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(run())
    assert gate.sizes == [1, 1, 4]
    assert [each.timing.batch_sizes for each in answers] == [(1,), (4,), (4,), (4,), (4,)]


def test_an_order_that_is_cancelled_is_dropped_before_its_pass(engines, model, gate):
    engine = engines()

    async def run():
        async with pass_under_way(engine, model, gate):
            waiting = asyncio.create_task(engine.infer(TensorOrder(model, values(4))))
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(run())
    assert gate.sizes == [1]


def test_a_late_order_is_told_at_its_deadline_and_never_computed(engines, model, gate):
    engine = engines()

    async def run():
        async with pass_under_way(engine, model, gate):
            for order in (
                engine.infer(TensorOrder(model, values(4), timeout_s=0.02)),
                engine.predict(order_of(model, timeout_s=0.02)),
            ):
                with pytest.raises(DeadlineExceededError):
                    await order

    asyncio.run(run())
    assert gate.sizes == [1]


def test_freeing_waits_for_a_pass_that_its_order_has_given_up_on(engines, model, gate):
    engine = engines()

    async def run():
        await engine.prepare(PrepareOrder(model))
        gate.shut()
        order = asyncio.create_task(engine.infer(TensorOrder(model, values(1))))
        await gate.wait_for_pass()
        order.cancel()
        freeing = asyncio.create_task(engine.free("drones", 1))
        done, _ = await asyncio.wait([freeing], timeout=0.05)
        assert not done
        gate.open()
        await freeing

    asyncio.run(run())
    assert engine.memory_bytes() == 0


def test_no_answer_mixes_versions_while_they_are_swapped(engines, model, tmp_path):
    engine = engines(**FLOAT32)
    other = write_version(tmp_path, 2)
    expected = {each.version: job_predictor(each).predict(torch.from_numpy(values(6))) for each in (model, other)}

    async def ask(version):
        answer = await engine.infer(TensorOrder(version, values(6)))
        assert answer.version == version.version
        assert np.abs(answer.probabilities - expected[answer.version]).max() < 1e-4

    async def run():
        for new, old in ((other, model), (model, other)) * 3:
            asking = [asyncio.create_task(ask(each)) for each in (old, new) * 5]
            assert (await engine.prepare(PrepareOrder(new, instead_of=old))).state == "ready"
            await engine.free(*old.key)
            await asyncio.gather(*asking)

    asyncio.run(run())


def test_preparing_reports_and_never_raises(engines, model, tmp_path):
    engine = engines()
    bad = replace(write_version(tmp_path, 2), weights_sha256="0" * 64)

    async def states(*orders):
        return [await engine.prepare(each) for each in orders]

    ready, failed, other, mine = asyncio.run(
        states(
            PrepareOrder(model),
            PrepareOrder(bad, instead_of=model),
            PrepareOrder(bad, only_replica="replica-2"),
            PrepareOrder(model, only_replica="replica-1"),
        )
    )
    assert (ready.state, ready.replica_id) == ("ready", "replica-1")
    assert ready.load == engines.notes[0].report
    assert (failed.state, failed.load) == ("failed", None)
    assert "were changed" in failed.reason
    assert (other.state, mine.state) == ("passed_over", "ready")
    assert [each.version for each in engine.loaded()] == [1]


def test_preparing_reports_failures_that_nobody_has_thought_of(engines, model, monkeypatch):
    engine = engines()

    def fail(_model):
        raise KeyError("surprise")

    monkeypatch.setattr(engine._versions, "_load_version", fail)
    report = asyncio.run(engine.prepare(PrepareOrder(model)))
    assert (report.state, report.reason) == ("failed", "KeyError: 'surprise'")


def test_a_version_without_room_beside_the_old_one_takes_its_place_in_the_replica_that_is_meant(engines, model, tmp_path):
    other = write_version(tmp_path, 2)
    weights = Path(model.weights_path).stat().st_size
    engine = engines(budget_bytes=int(1.5 * weights) + 2_000_000)

    async def run():
        await engine.predict(order_of(model))
        assert (await engine.prepare(PrepareOrder(other, instead_of=model))).state == "no_room"
        assert [each.version for each in engine.loaded()] == [1]
        assert (await engine.prepare(PrepareOrder(other, instead_of=model, only_replica="replica-1"))).state == "ready"
        return await engine.predict(order_of(model, may_follow=True))

    assert asyncio.run(run()).version == 2


def test_a_version_that_cannot_be_loaded_is_the_models_fault(engines, model):
    with pytest.raises(ModelCheckError, match="were changed"):
        predict(engines(), replace(model, weights_sha256="1" * 64))


def test_a_network_that_fails_in_a_pass_is_told_as_a_failed_prediction(engines, model, monkeypatch):
    def fail(_version, _inputs):
        raise WeightsError("the network answers with values that are no numbers", "Retrain.")

    monkeypatch.setattr(LoadedVersion, "forward", fail)
    with pytest.raises(PredictionError, match="no numbers"):
        predict(engines(), model)


def test_bfloat16_is_obeyed_where_it_is_forced_and_keeps_the_best_class(engines, model):
    exact, rough = (
        predict(engines(precision=each), model, *map(picture, range(8))) for each in (Precision.FLOAT32, Precision.BFLOAT16)
    )
    assert (exact.precision, rough.precision) == (Precision.FLOAT32, Precision.BFLOAT16)
    for one, other in zip(exact.predictions, rough.predictions, strict=True):
        assert other.confidence == pytest.approx(one.confidence, abs=5)
    forced = predict(engines(), with_wish(model, precision=Precision.BFLOAT16, optimise=False))
    assert forced.precision is Precision.BFLOAT16


def test_long_recordings_are_read_only_a_few_frames_ahead(engines, model, tmp_path, gate):
    engine = engines(max_batch=2)
    prepared = []
    prepare = engine._reader.prepare

    async def counted(unit, size, take_levels=None):
        prepared.append(unit.index)
        return await prepare(unit, size)

    engine._reader.prepare = counted

    async def run():
        await engine.prepare(PrepareOrder(model))
        gate.shut()
        order = asyncio.create_task(engine.predict(order_of(model, recording(tmp_path, 40_000))))
        await gate.wait_for_pass()
        await asyncio.wait([order], timeout=0.2)
        ahead = len(prepared)
        gate.open()
        await order
        return ahead

    assert asyncio.run(run()) <= 2 * 2 + 2
    assert prepared == list(range(20))
