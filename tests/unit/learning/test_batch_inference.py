"""A source of pictures becomes published predictions and copies; one bad picture is an entry, and a stop publishes nothing."""

import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from actors.files.errors import OutputError, WorkError
from actors.learning import inference_progress, picture_feed
from actors.learning.batch_inference import AllPicturesUnreadableError
from actors.learning.errors import ConfigError, WeightsMismatchError
from actors.learning.inference_plan import InferenceOutcome
from actors.learning.pictures import NoPicturesError, decode_picture
from actors.learning.plan import Stage
from actors.learning.zoo import build_model
from tests.unit.learning.inference_runs import CLASSES, Run, write_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """Random weights of a small network and the configuration that goes with them."""
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run(model_dir, tmp_path):
    """Make an inference over ``source`` in the test's folder."""
    return lambda **changed: Run(model_dir, tmp_path, **changed)


@pytest.fixture
def source(tmp_path):
    """A tree with ten pictures of differing kinds."""
    folder = tmp_path / "source"
    for number in range(10):
        extension = ("jpg", "png", "bmp")[number % 3]
        picture(folder / f"class{number % 2}" / f"{number}.{extension}", seed=number)
    return folder


def picture(path: Path, *, seed: int = 0) -> Path:
    """Write a random picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(256, size=(48, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_every_picture_has_an_entry_in_the_order_of_the_paths(run, source):
    inference = run()
    assert inference() == InferenceOutcome("completed", total=10, done=10, failed=0)
    files = [entry["file"] for entry in inference.entries]
    assert files == sorted(path.relative_to(source).as_posix() for path in source.rglob("*.*"))


def test_entries_hold_what_the_network_says_in_percent(run, source):
    inference = run()
    inference()
    model = build_model("mobilenet_v3_small", 3)
    model.load_state_dict(torch.load(inference.plan.weight_path, weights_only=True))
    for entry in inference.entries:
        pixels = torch.from_numpy(decode_picture(source / entry["file"], 32))
        with torch.no_grad():
            percent = 100 * torch.softmax(model.eval()(pixels.permute(2, 0, 1)[None] / 255), dim=1)[0]
        assert entry["class"] == CLASSES[int(percent.argmax())]
        assert entry["confidence"] == pytest.approx(float(percent.max()), abs=1e-3)
        assert {top["class"]: top["confidence"] for top in entry["top"]} == pytest.approx(
            dict(zip(CLASSES, percent.tolist(), strict=True)), abs=1e-3
        )


def test_copies_keep_the_tree_and_predictions_json_is_published_last(run, source):
    inference = run()
    inference()
    copies = {path.relative_to(source).with_suffix(".jpg").as_posix() for path in source.rglob("*.*")}
    assert set(inference.published[:-2]) == copies
    assert inference.published[-2:] == ["predictions.csv", "predictions.json"]
    with Image.open(inference.plan.output_dir / "class0" / "0.jpg") as copy:
        assert (copy.format, copy.size) == ("JPEG", (64, 48))


def test_without_annotation_only_predictions_are_published(run, source):
    inference = run(annotate=False)
    inference()
    assert inference.published == ["predictions.csv", "predictions.json"]


def test_a_single_picture_is_a_source(run, tmp_path):
    inference = run(source_path=picture(tmp_path / "one.png"))
    assert inference().total == 1
    assert inference.entries[0]["file"] == "one.png"
    assert inference.published[0] == "one.jpg"


def test_results_do_not_depend_on_the_batch_size(run, source):
    small, large = run(batch_size=1), run(batch_size=64)
    small()
    first = small.entries
    large()
    for one, other in zip(first, large.entries, strict=True):
        assert one["file"] == other["file"]
        assert one["confidence"] == pytest.approx(other["confidence"], abs=1e-3)


def test_an_unreadable_picture_is_an_entry_with_an_error(run, source):
    (source / "class0" / "broken.jpg").write_bytes(b"no picture")
    inference = run()
    assert inference() == InferenceOutcome("completed", total=11, done=11, failed=1)
    broken = [entry for entry in inference.entries if entry["error"] is not None]
    assert [entry["file"] for entry in broken] == ["class0/broken.jpg"]
    assert (broken[0]["class"], broken[0]["confidence"], broken[0]["top"]) == (None, None, [])
    assert "class0/broken.jpg" not in inference.published
    assert any(record.level == "WARNING" and "broken.jpg" in record.message for record in inference.records)


def test_a_batch_without_any_readable_picture_does_not_end_the_run(run, source):
    for number in range(4):
        (source / "class0" / f"00{number}.jpg").write_bytes(b"no picture")
    assert run()().failed == 4


def test_when_all_are_unreadable_the_files_are_published_and_the_run_fails(run, source):
    for path in source.rglob("*.*"):
        path.write_bytes(b"no picture")
    inference = run()
    with pytest.raises(AllPicturesUnreadableError, match="none of the 10 pictures") as failure:
        inference()
    assert failure.value.code == "all_pictures_unreadable"
    assert len(inference.entries) == 10
    assert all(entry["error"] for entry in inference.entries)


def test_many_unreadable_pictures_do_not_flood_the_log(run, source):
    for number in range(60):
        (source / f"broken{number}.jpg").write_bytes(b"no picture")
    inference = run(annotate=False)
    assert inference().failed == 60
    assert sum(record.level == "WARNING" for record in inference.records) == inference_progress.MAX_NAMED_FAILURES + 1


def test_a_stop_takes_effect_at_the_next_batch_and_publishes_nothing(run, source):
    answers = iter([False, True])
    inference = run()
    assert inference(lambda: next(answers)) == InferenceOutcome("stopped", total=10, done=4, failed=0)
    assert inference.published == []
    assert not inference.plan.output_dir.exists()


def test_a_stop_after_the_last_batch_still_publishes_nothing(run, source):
    answers = iter([False, False, False, True])
    inference = run()
    assert inference(lambda: next(answers)).status == "stopped"
    assert inference.published == []


def test_stopping_leaves_no_thread_behind(run, source):
    run()(lambda: True)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pictures")]


def test_first_and_last_record_frame_the_run(run, source):
    inference = run()
    inference()
    first, last = inference.records[0], inference.records[-1]
    assert (first.step, first.progress, first.stage) == (0, 0, None)
    assert (last.step, last.progress, last.stage) == (10, 100, Stage.COMPLETED)


def test_progress_is_reported_at_intervals_only(run, source, monkeypatch):
    inference = run(batch_size=1)
    inference()
    assert len(inference.records) < 10
    monkeypatch.setattr(inference_progress, "REPORT_INTERVAL_S", 0.0)
    every = run(batch_size=1)
    every()
    assert [record.step for record in every.records] == [*range(11), 10]
    assert [record.progress for record in every.records] == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99, 100]


def test_warnings_of_the_configuration_reach_the_log(run, source, tmp_path):
    keys = {"model": "mobilenet_v3_small", "num_classes": 3, "class_names": list(CLASSES), "image_size": 32}
    (tmp_path / "list.yaml").write_text(yaml.safe_dump(keys), "utf-8")
    inference = run(cfg_path=tmp_path / "list.yaml")
    inference()
    assert any("ASCII order" in record.message for record in inference.records if record.level == "WARNING")


def test_earlier_results_below_the_source_are_no_input(run, source):
    for _ in range(2):
        inference = run(output_dir=source / "results", staging_dir=source / "staging")
        assert inference().total == 10


def test_copies_never_overwrite_the_pictures_they_come_from(run, source):
    before = {path: path.read_bytes() for path in source.rglob("*.*")}
    inference = run(output_dir=source)
    with pytest.raises(OutputError, match="overwrite"):
        inference()
    with pytest.raises(OutputError, match="overwrite"):
        run(source_path=source / "class0" / "0.jpg", output_dir=source / "class0")()
    assert {path: path.read_bytes() for path in source.rglob("*.*")} == before


def test_without_copies_results_may_lie_beside_the_pictures(run, source):
    inference = run(output_dir=source, annotate=False)
    assert inference().total == 10


def test_names_that_are_no_utf8_are_predicted_and_shown(run, tmp_path):
    picture(tmp_path / "source" / "plain.png").rename(tmp_path / "source" / os.fsdecode(b"\xff.png"))
    inference = run()
    inference()
    assert inference.entries[0]["file"] == "\ufffd.png"
    assert len(list(inference.plan.output_dir.glob("*.jpg"))) == 1


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"cfg_path": Path("nowhere.yaml")}, ConfigError),
        ({"source_path": Path("nowhere")}, NoPicturesError),
        ({"cfg_path": "five"}, WeightsMismatchError),
    ],
)
def test_what_cannot_be_run_fails_before_anything_is_written(run, source, tmp_path, changed, error):
    if changed.get("cfg_path") == "five":
        keys = {"model": "mobilenet_v3_small", "num_classes": 5, "class_names": list("abcde"), "image_size": 32}
        changed = {"cfg_path": tmp_path / "five.yaml"}
        changed["cfg_path"].write_text(yaml.safe_dump(keys), "utf-8")
    inference = run(**changed)
    with pytest.raises(error):
        inference()
    assert inference.records == []
    assert not inference.plan.staging_dir.exists()


def test_a_staging_folder_that_cannot_be_written_is_an_error_of_the_output(run, source, tmp_path):
    (tmp_path / "staging").write_text("a file")
    with pytest.raises(OutputError, match="staging"):
        run()()


def test_a_refused_publication_ends_the_run(run, source):
    inference = run()

    def refuse(staged: Path, name: str) -> None:
        raise WorkError("the lease is gone")

    inference.publish = refuse
    with pytest.raises(WorkError, match="lease"):
        inference()
    assert all(record.stage is None for record in inference.records)


def test_a_picture_that_vanishes_after_it_was_read_keeps_its_answer(run, source, monkeypatch):
    def decode_and_remove(path: Path, image_size: int, **where):
        pixels = decode_picture(path, image_size, **where)
        if path.name == "3.jpg":
            path.unlink()
        return pixels

    monkeypatch.setattr(picture_feed, "decode_picture", decode_and_remove)
    inference = run()
    assert inference().failed == 0
    assert "class1/3.jpg" not in inference.published
    assert len(inference.entries) == 10
