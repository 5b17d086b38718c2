"""Recordings become a row per frame, a summary per file, annotations and a picture; one bad file is no more than an entry."""

import csv
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from actors.files.errors import OutputError
from actors.learning import inference_progress, recording_feed, recording_result
from actors.learning.batch_inference import NothingPredictedError
from actors.learning.chosen_recipe import RecipeMissingError
from actors.learning.inference_plan import InferenceOutcome
from actors.learning.zoo import build_model
from actors.signals.engine import SpectrogramEngine
from actors.signals.errors import RecipeError
from actors.signals.recipe import Recipe
from actors.signals.recording import open_recording
from tests.unit.learning.inference_runs import CLASSES, Run, write_model
from tests.unit.learning.test_batch_inference import picture
from tests.unit.signals.recordings import cut, encode, make_samples, write_sigmf

RATE = 100e3
CHOICES = {"pipeline": "native", "nfft": 64, "frame_duration_s": 0.02}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run(model_dir, tmp_path):
    return lambda **changed: Run(model_dir, tmp_path, **({"recipe": CHOICES} | changed))


@pytest.fixture
def source(tmp_path):
    """Two recordings: eleven frames and a rest, and one frame."""
    (tmp_path / "source/sub").mkdir(parents=True)
    write(tmp_path / "source/a_433.92M_100k.cf32", 23_000, seed=1)
    write(tmp_path / "source/sub/b_433.92M_100k.cs16", 2_000, seed=2)
    return tmp_path / "source"


def write(path, count, *, seed=1):
    """A recording of noise with a tone that comes and goes."""
    samples = make_samples(count, seed) * (1 + np.arange(count) // 4000 % 2)[:, None].ravel().astype(np.float32) / 2
    path.write_bytes(encode(samples, "cf32_le" if path.suffix == ".cf32" else "ci16_le"))
    return samples


def test_every_frame_has_an_entry_with_its_place(run, source):
    inference = run()
    assert inference() == InferenceOutcome("completed", total=12, done=12, failed=0, unit="frames")
    told = [(each["file"], each["segment"], each["start_s"], each["duration_s"]) for each in inference.entries]
    frames = [("a_433.92M_100k.cf32", index, round(0.02 * index, 9), 0.02) for index in range(11)]
    assert told == [*frames, ("sub/b_433.92M_100k.cs16", 0, 0.0, 0.02)]
    assert "12 frames of 2 recordings" in inference.records[0].message


def test_a_step_of_a_few_samples_by_mistake_ends_the_job_before_a_frame_is_read(run, source):
    with (source / "long_433.92M_100k.cf32").open("wb") as file:
        file.truncate(8 * 1_002_000)
    with pytest.raises(RecipeError, match="frames, more than the 1000000 of one task"):
        run(recipe={**CHOICES, "frame_step_s": 1 / RATE})()


def test_entries_hold_what_the_network_says_of_the_recipes_pictures(run, source):
    inference = run()
    inference()
    recipe = Recipe.of(CHOICES, sample_rate=RATE)
    samples = open_recording(source / "a_433.92M_100k.cf32").read(0, 23_000)
    pictures = SpectrogramEngine(recipe, image_size=32)(np.array(cut(samples, recipe)))
    model = build_model("mobilenet_v3_small", 3)
    model.load_state_dict(torch.load(inference.plan.weight_path, weights_only=True))
    with torch.no_grad():
        percent = 100 * torch.softmax(model.eval()(pictures), dim=1).numpy()
    for entry, row in zip(inference.entries, percent, strict=False):
        assert entry["class"] == CLASSES[int(row.argmax())]
        told = {each["class"]: each["confidence"] for each in entry["top"]}
        assert told == pytest.approx(dict(zip(CLASSES, row.tolist(), strict=True)), abs=1e-3)
    summary = inference.summaries[0]
    means = dict(zip(CLASSES, percent.mean(axis=0).tolist(), strict=True))
    assert summary["class"] == max(means, key=means.__getitem__)
    assert {each["class"]: each["confidence"] for each in summary["top"]} == pytest.approx(means, abs=1e-3)
    assert summary["frames_per_class"] == Counter(CLASSES[index] for index in percent.argmax(axis=1))
    assert (summary["frames"], summary["seconds"], summary["error"]) == (11, 0.23, None)


def test_every_recording_gets_its_files_and_predictions_json_comes_last(run, source):
    inference = run()
    inference()
    names = [
        f"{base}{ending}" for base in ("a_433.92M_100k", "sub/b_433.92M_100k") for ending in (".png", ".sigmf-data", ".sigmf-meta")
    ]
    assert inference.published == [*names, "summary.csv", "summary.json", "predictions.csv", "predictions.json"]
    out = inference.plan.output_dir
    found = open_recording(out / "sub/b_433.92M_100k.sigmf-meta")
    assert np.array_equal(found.read(0, 2000), open_recording(source / "sub/b_433.92M_100k.cs16").read(0, 2000))
    annotations = open_recording(out / "a_433.92M_100k.sigmf-meta").annotations
    assert [(each.first, each.count, each.label) for each in annotations] == [
        (2000 * entry["segment"], 2000, entry["class"]) for entry in inference.entries[:11]
    ]
    assert (annotations[0].lower_frequency, annotations[0].upper_frequency) == (433.87e6, 433.97e6)
    with Image.open(out / "a_433.92M_100k.png") as drawn:
        assert drawn.width > 1024
    with (out / "summary.csv").open(encoding="utf-8", newline="") as file:
        assert [row["frames"] for row in csv.DictReader(file)] == ["11", "1"]


def test_pictures_and_recordings_of_a_folder_go_together(run, source):
    picture(source / "z.png")
    inference = run()
    assert inference() == InferenceOutcome("completed", total=13, done=13, failed=0, unit="pictures and frames")
    assert [each["file"] for each in inference.entries[:2]] == ["z.png", "a_433.92M_100k.cf32"]
    assert [(each["file"], each["frames"]) for each in inference.summaries] == [
        ("z.png", 1),
        ("a_433.92M_100k.cf32", 11),
        ("sub/b_433.92M_100k.cs16", 1),
    ]


def test_without_a_recipe_nothing_is_written(run, source):
    inference = run(recipe=None)
    with pytest.raises(RecipeMissingError):
        inference()
    assert not inference.plan.staging_dir.exists()


def test_a_recording_that_cannot_be_used_is_an_entry_with_an_error(run, source):
    (source / "norate.iq").write_bytes(bytes(800))
    (source / "short_433.92M_100k.cf32").write_bytes(bytes(80))
    inference = run(recipe=CHOICES | {"short": "refuse"})
    assert inference() == InferenceOutcome("completed", total=14, done=14, failed=2, unit="frames")
    errors = {each["file"]: each["error"] for each in inference.entries if each["error"]}
    assert list(errors) == ["norate.iq", "short_433.92M_100k.cf32"]
    assert "sample rate" in errors["norate.iq"]
    summary = next(each for each in inference.summaries if each["file"] == "norate.iq")
    assert (summary["class"], summary["frames"], summary["error"]) == (None, 0, errors["norate.iq"])
    assert "norate.png" not in inference.published


def test_when_none_can_be_used_the_files_are_published_and_the_run_fails(run, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/norate.iq").write_bytes(bytes(800))
    inference = run()
    with pytest.raises(NothingPredictedError, match="sample rate"):
        inference()
    assert [each["file"] for each in inference.entries] == ["norate.iq"]


def test_a_frame_of_bad_samples_is_an_entry_and_the_others_go_on(run, source):
    path = source / "a_433.92M_100k.cf32"
    values = np.fromfile(path, dtype="<f4")
    values[2 * 5_000] = np.nan
    values.tofile(path)
    inference = run()
    assert inference().failed == 1
    assert [each["segment"] for each in inference.entries if each["error"]] == [2]
    summary = inference.summaries[0]
    assert summary["frames"] == 10
    assert summary["error"].startswith("1 of 11 frames have no answer")


def test_samples_whose_power_no_spectrum_can_hold_are_entries_and_not_the_networks_fault(run, source):
    (source / "huge_433.92M_100k.cf32").write_bytes(encode(1e25 * make_samples(2_000), "cf32_le"))
    inference = run()
    assert inference().failed == 1
    (error,) = [entry["error"] for entry in inference.entries if entry["error"]]
    assert "beyond 1e+12" in error


def test_a_recording_that_becomes_shorter_ends_there(run, source, monkeypatch):
    path = source / "a_433.92M_100k.cf32"
    frames_of = recording_feed.RecordingFrames

    class Shortened(frames_of):
        def read(self, index):
            if index == 3 and len(self) == 11:
                os.truncate(path, 8 * 7_000)
            return super().read(index)

    monkeypatch.setattr(recording_feed, "RecordingFrames", Shortened)
    inference = run(threads=1)
    assert inference().failed == 8
    entries = [each for each in inference.entries if each["file"] == path.name]
    assert [bool(each["error"]) for each in entries] == [False, False, False, True]
    assert "8 of 11 frames" in inference.summaries[0]["error"]
    assert inference.summaries[1]["frames"] == 1


def test_what_is_done_to_a_recording_is_told(run, source, tmp_path):
    captures = [{"core:sample_start": 0}, {"core:sample_start": 5_900}]
    write_sigmf(source, "hop", encode(make_samples(6_000), "cf32_le"), rate=50e3, captures=captures)
    inference = run(recipe=CHOICES | {"sample_rate": RATE, "short": "refuse"})
    inference()
    assert "hop.sigmf-meta: brought from 50000 to the recipe's 100000 samples per second" in inference.said
    assert "hop.sigmf-meta: 1 captures are shorter than a frame" in inference.said
    refusing = run(recipe=CHOICES | {"sample_rate": RATE, "allow_resampling": False})
    refusing()
    assert {each["file"] for each in refusing.entries if each["error"]} == {"hop.sigmf-meta"}


def test_the_request_fills_in_what_files_do_not_tell(run, tmp_path):
    (tmp_path / "x.raw").write_bytes(encode(make_samples(4_000), "cu8"))
    inference = run(source_path=tmp_path / "x.raw", sample_rate=RATE, center_frequency=2.44e9, datatype="cu8")
    assert inference().total == 2
    meta = json.loads((inference.plan.output_dir / "x.sigmf-meta").read_text("utf-8"))
    assert meta["captures"][0]["core:frequency"] == 2.44e9


def test_exact_zeros_are_predicted_too(run, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/z_433.92M_100k.cf32").write_bytes(bytes(8 * 4_000))
    for pipeline in ("native", "P1"):
        inference = run(recipe={"pipeline": pipeline, "nfft": 64, "frame_duration_s": 0.02})
        assert inference().failed == 0
        assert all(each["class"] for each in inference.entries)


def test_a_stop_takes_effect_within_a_frame_for_each_thread_and_publishes_nothing(run, source, monkeypatch):
    made = []
    renderer = recording_feed.FrameRenderer.with_decibels
    monkeypatch.setattr(recording_feed.FrameRenderer, "with_decibels", lambda *given: made.append(1) or renderer(*given))
    inference = run()
    outcome = inference(lambda: bool(made))
    assert (outcome.status, inference.published) == ("stopped", [])
    assert outcome.done == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames")]


def test_progress_counts_frames(run, source, monkeypatch):
    monkeypatch.setattr(inference_progress, "REPORT_INTERVAL_S", 0.0)
    inference = run(batch_size=1)
    inference()
    assert [record.step for record in inference.records] == [*range(13), 12]


def test_results_never_overwrite_the_recording_that_they_come_from(run, tmp_path):
    (tmp_path / "source").mkdir()
    write_sigmf(tmp_path / "source", "x", encode(make_samples(4_000), "cf32_le"), rate=RATE)
    with pytest.raises(OutputError, match="overwrite"):
        run(output_dir=tmp_path / "source")()
    assert open_recording(tmp_path / "source/x.sigmf-meta").annotations == ()


def test_recordings_that_differ_in_their_ending_alone_have_results_of_their_own(run, tmp_path):
    (tmp_path / "source").mkdir()
    for ending in ("cf32", "cs16"):
        write(tmp_path / f"source/x_433.92M_100k.{ending}", 2_000)
    inference = run()
    inference()
    assert {"x_433.92M_100k.cf32.png", "x_433.92M_100k.cs16.png"} <= set(inference.published)


@pytest.mark.parametrize(
    ("name", "result"),
    [
        (b"bad\xff\xfe", "bad\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}"),
        (b"two\nlines", "two\nlines"),
        (b"n" * 245, "n" * 200),
    ],
)
def test_a_name_that_is_hard_to_write_costs_no_result(run, source, name, result):
    write(source / os.fsdecode(name + b".cf32"), 2_000)
    inference = run(sample_rate=RATE)
    assert inference().failed == 0
    assert {f"{result}.png", f"{result}.sigmf-data", f"{result}.sigmf-meta"} <= set(inference.published)
    meta = inference.plan.output_dir / f"{result}.sigmf-meta"
    meta.read_text("utf-8")
    assert [each.first for each in open_recording(meta).annotations] == [0]


def test_a_bad_recording_whose_name_is_no_text_is_an_entry(run, source):
    (source / os.fsdecode(b"bad\xff.cf32")).touch()
    inference = run()
    assert inference().failed == 1
    assert inference.entries[11]["file"] == "bad\N{REPLACEMENT CHARACTER}.cf32"
    assert "holds no samples" in inference.entries[11]["error"]


def test_beyond_a_bound_frames_of_one_class_are_annotated_together(run, source, monkeypatch):
    monkeypatch.setattr(recording_result, "MOST_ANNOTATIONS", 3)
    inference = run()
    inference()
    annotations = open_recording(inference.plan.output_dir / "a_433.92M_100k.sigmf-meta").annotations
    classes = [each["class"] for each in inference.entries[:11]]
    runs = 1 + sum(one != other for one, other in pairwise(classes))
    assert len(annotations) == runs
    assert sum(each.count for each in annotations) == 22_000


def test_torch_has_its_threads_back_afterwards(run, source):
    run()()
    assert torch.get_num_threads() == 2


#: Runs a job over a recording and prints how many frames it had, and the most memory of the process.
MEASURE = """
import sys
from pathlib import Path
from tests.unit.learning.inference_runs import Run
folder, step = Path(sys.argv[1]), float(sys.argv[2])
run = Run(folder, folder, recipe={"pipeline": "native", "overlap": 0.0, "frame_step_s": step})
print(run().done)
# Not what getrusage tells: there the memory of the process that started this one counts too.
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")))
"""


@pytest.mark.parametrize(
    ("step_s", "frames"), [(2.5, 10), pytest.param(0.1, 250, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
def test_a_job_on_a_recording_of_20_gb_takes_less_than_1500_mb(model_dir, tmp_path, step_s, frames):
    for path in model_dir.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "source").mkdir()
    with (tmp_path / "source/zeros_2440M_100000k.cf32").open("wb") as file:
        file.truncate(20 * 10**9)
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path, str(step_s)], capture_output=True, text=True, check=True)
    count, peak_kib = map(int, done.stdout.split())
    assert count == frames
    assert peak_kib < 1.5e9 / 1024
