"""Recordings become pictures: divided by recording, named so that it shows, and equal to what the engine feeds a network."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actors.core.tasks import PreprocessingType
from actors.learning.errors import ConfigError
from actors.preprocessing.errors import AllFilesFailedError, OutputTakenError
from actors.preprocessing.plan import RecordingHints, SpectrogramPlan, SplitPlan, Surroundings
from actors.preprocessing.recordings import recording_of
from actors.preprocessing.spectrogram import run_spectrogram
from actors.preprocessing.split import run_split
from actors.signals.engine import SpectrogramEngine
from actors.signals.errors import NoRecordingsError, RecipeError, SampleRateError
from actors.signals.frames import RecordingFrames
from actors.signals.recipe import Recipe
from actors.signals.recipe_file import read_recipe_file
from actors.signals.recording import open_recording
from actors.workers.drawing import drawing_for
from tests.unit.preprocessing.conftest import tree_of
from tests.unit.signals.recordings import encode, make_samples, write_sigmf

RATE = 100_000
FRAME = 1000
RECIPE = {"pipeline": "native", "nfft": 64, "frame_duration_s": FRAME / RATE, "short": "refuse"}
DOCUMENTS = {"preprocessing.json", "recipe.json", "manifest.csv"}


def record(path: Path, frames: float, *, seed: int = 0) -> Path:
    """Write a recording that is so many frames long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(make_samples(int(frames * FRAME), seed), "cu8"))
    return path


def flights(folder: Path) -> Path:
    for class_name, count in (("fpv", 5), ("mini", 4)):
        for number in range(count):
            record(folder / class_name / f"flight{number}_{RATE // 1000}ksps.cu8", 1 + number, seed=number)
    return folder


def plan_of(source: Path, output: Path, **changes) -> SpectrogramPlan:
    return replace(SpectrogramPlan(source, output, RECIPE, 32, 0.6, None, 7, 2), **changes)


@pytest.fixture
def draw_all(run):
    def start(plan, **options):
        return run(lambda plan, **outside: run_spectrogram(plan, Surroundings(**outside), drawing_for=drawing_for), plan, **options)

    return start


def names(folder: Path) -> set[str]:
    return set(tree_of(folder)) - DOCUMENTS


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((folder / "manifest.csv").read_text())))


def test_class_folders_become_parts_between_which_no_recording_is_divided(tmp_path, draw_all):
    source = flights(tmp_path / "in")
    outcome = draw_all(plan_of(source, tmp_path / "out", val_ratio=0.2))
    pictures = names(tmp_path / "out")
    assert len(pictures) == 15 + 10 == outcome.stats["pictures"]
    part_of: dict[tuple[str, str], set[str]] = {}
    for name in pictures:
        part, _, below = name.partition("/")
        part_of.setdefault((below.partition("/")[0], recording_of(below)), set()).add(part)
    assert len(part_of) == 9
    assert {len(parts) for parts in part_of.values()} == {1}
    counts = {part: sum(name.startswith(f"{part}/") for name in pictures) for part in ("train", "valid", "test")}
    assert outcome.stats == {
        "recordings": 9,
        "pictures": 25,
        "failed": 0,
        "train_images": counts["train"],
        "val_images": counts["valid"],
        "test_images": counts["test"],
        "classes": ["fpv", "mini"],
    }
    assert all(counts.values())


def test_the_division_is_the_one_that_a_split_of_the_pictures_makes(tmp_path, draw_all, run):
    source = flights(tmp_path / "in")
    draw_all(plan_of(source, tmp_path / "out"))
    flat = tmp_path / "flat"
    for name in names(tmp_path / "out"):
        target = flat / name.partition("/")[2]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((tmp_path / "out" / name).read_bytes())
    run(run_split, SplitPlan(flat, tmp_path / "split", 0.6, None, 7, "recording", 2))
    assert names(tmp_path / "split") == names(tmp_path / "out")


@pytest.mark.parametrize("choices", [RECIPE, {**RECIPE, "pipeline": "P1", "picture_size": (64, 48)}])
def test_a_picture_is_what_the_engine_feeds_a_network(tmp_path, draw_all, choices):
    path = record(tmp_path / f"flight_{RATE // 1000}ksps.cu8", 3.5)
    draw_all(plan_of(path, tmp_path / "out", recipe=choices))
    recipe = Recipe.of(choices, sample_rate=RATE)
    frames = RecordingFrames(open_recording(path), recipe)
    engine = SpectrogramEngine(recipe, image_size=32)
    assert names(tmp_path / "out") == {f"flight_100ksps_{index}.png" for index in range(len(frames))}
    for index in range(len(frames)):
        fed = engine(frames.read(index)[None])[0].permute(1, 2, 0).numpy() * 255
        with Image.open(tmp_path / "out" / f"flight_100ksps_{index}.png") as picture:
            difference = np.abs(np.asarray(picture, dtype=np.float32) - fed).max()
        assert difference <= (0.5 if choices["pipeline"] == "native" else 1e-3)


def test_recordings_beside_each_other_are_not_divided_and_keep_their_folders(tmp_path, draw_all, run):
    record(tmp_path / "in/a_100ksps.cu8", 1)
    record(tmp_path / "in/deep/er/a_100ksps.cu8", 2)
    outcome = draw_all(plan_of(tmp_path / "in", tmp_path / "out"))
    assert names(tmp_path / "out") == {"a_100ksps_0.png", "deep/er/a_100ksps_0.png", "deep/er/a_100ksps_1.png"}
    assert outcome.stats == {"recordings": 2, "pictures": 3, "failed": 0, "classes": []}
    assert "not taken for classes" in run.warnings()


def test_recordings_of_one_name_never_meet(tmp_path, draw_all):
    for name in ("x/one/a_100ksps.cu8", "x/two/a_100ksps.cu8", "x/two/a_100ksps.cs8"):
        record(tmp_path / "in" / name, 1)
    draw_all(plan_of(tmp_path / "in", tmp_path / "out", train_ratio=0.4))
    below = {name.partition("/")[2] for name in names(tmp_path / "out")}
    assert below == {"x/one/a_100ksps_0.png", "x/two/a_100ksps.cu8_0.png", "x/two/a_100ksps.cs8_0.png"}


def test_pieces_of_one_long_recording_stay_together(tmp_path, draw_all):
    for second in range(6):
        record(tmp_path / f"in/fpv/pack1_100ksps_{second}-{second + 1}s.cu8", 2)
    record(tmp_path / "in/fpv/pack2_100ksps_0-1s.cu8", 2)
    draw_all(plan_of(tmp_path / "in", tmp_path / "out", recipe={**RECIPE, "sample_rate": RATE}, hints=RecordingHints(RATE)))
    parts = {name.partition("/")[0] for name in names(tmp_path / "out") if "pack1" in name}
    assert len(parts) == 1


def test_the_manifest_tells_where_each_picture_comes_from(tmp_path, draw_all):
    data = encode(make_samples(3500), "cf32_le")
    captures = ({"core:sample_start": 0, "core:frequency": 1e6}, {"core:sample_start": 2000, "core:frequency": 2e6})
    (tmp_path / "in/fpv").mkdir(parents=True)
    write_sigmf(tmp_path / "in/fpv", "hop", data, rate=RATE, captures=captures)
    record(tmp_path / "in/fpv/flight_100ksps.cu8", 2)
    draw_all(plan_of(tmp_path / "in", tmp_path / "out"))
    found = {row["file"].rpartition("/")[2]: row for row in rows(tmp_path / "out")}
    assert {row["file"] for row in found.values()} == names(tmp_path / "out")
    hop = found["hop_2.png"]
    assert (hop["class"], hop["recording"], hop["error"]) == ("fpv", "fpv/hop.sigmf-meta", "")
    assert hop["part"] == hop["file"].partition("/")[0]
    numbers = {name: float(hop[name]) for name in ("first_sample", "sample_count", "start_s", "duration_s", "center_frequency")}
    assert numbers == {"first_sample": 2000, "sample_count": 1000, "start_s": 0.02, "duration_s": 0.01, "center_frequency": 2e6}
    assert float(hop["sample_rate"]) == RATE


def test_the_recipe_file_is_whole_and_has_the_recordings_rate(tmp_path, draw_all):
    draw_all(plan_of(record(tmp_path / "flight_100ksps.cu8", 1), tmp_path / "out"))
    made = read_recipe_file(tmp_path / "out/recipe.json")
    assert (made.recipe, made.image_size) == (Recipe.of(RECIPE, sample_rate=RATE), 32)


def test_a_stopped_run_goes_on_at_the_next_picture_and_ends_in_the_same_bytes(tmp_path, draw_all, run):
    source = flights(tmp_path / "in")
    plan = plan_of(source, tmp_path / "out", threads=1)
    stopped = draw_all(plan, should_stop=iter([False] * 14 + [True] * 99).__next__)
    done = names(plan.output_path)
    assert stopped.status == "stopped"
    assert 0 < stopped.done == len(done) < 25
    assert not {"recipe.json", "manifest.csv"} & set(tree_of(plan.output_path))
    assert draw_all(plan).status == "completed"
    assert not done & set(run.published)
    draw_all(replace(plan, output_path=tmp_path / "once", threads=2))
    assert tree_of(tmp_path / "once") == tree_of(plan.output_path)


def test_a_run_that_is_stopped_while_headers_are_read_has_written_nothing(tmp_path, draw_all):
    plan = plan_of(flights(tmp_path / "in"), tmp_path / "out")
    assert draw_all(plan, should_stop=lambda: True).status == "stopped"
    assert tree_of(plan.output_path) == {}


def test_what_cannot_be_used_is_told_counted_and_listed(tmp_path, draw_all, run):
    source = flights(tmp_path / "in")
    (source / "fpv/empty_100ksps.cu8").write_bytes(b"")
    record(source / "mini/short_100ksps.cu8", 0.5)
    spoilt = make_samples(3 * FRAME)
    spoilt[FRAME + 5] = np.nan
    (source / "fpv/spoilt_100ksps.cf32").write_bytes(encode(spoilt, "cf32_le"))
    stats = draw_all(plan_of(source, tmp_path / "out")).stats
    assert (stats["recordings"], stats["pictures"], stats["failed"]) == (12, 27, 3)
    missing = {(row["recording"], row["first_sample"]): row["error"] for row in rows(tmp_path / "out") if not row["file"]}
    assert set(missing) == {("fpv/empty_100ksps.cu8", ""), ("mini/short_100ksps.cu8", ""), ("fpv/spoilt_100ksps.cf32", "1000")}
    assert "holds no samples" in missing["fpv/empty_100ksps.cu8", ""]
    assert "500 samples" in missing["mini/short_100ksps.cu8", ""]
    for name in ("empty", "short", "spoilt"):
        assert name in run.warnings()
    assert len([name for name in names(tmp_path / "out") if "spoilt" in name]) == 2


def test_short_recordings_are_padded_where_the_recipe_says_so(tmp_path, draw_all):
    path = record(tmp_path / "short_100ksps.cu8", 0.5)
    assert draw_all(plan_of(path, tmp_path / "out", recipe={**RECIPE, "short": "pad"})).stats["pictures"] == 1
    assert rows(tmp_path / "out")[0]["sample_count"] == "500"


def test_where_nothing_can_be_used_nothing_is_written(tmp_path, draw_all):
    source = tmp_path / "in"
    record(source / "a/short_100ksps.cu8", 0.5)
    with pytest.raises(AllFilesFailedError, match=r"short_100ksps\.cu8"):
        draw_all(plan_of(source, tmp_path / "out"))
    (source / "a/short_100ksps.cu8").write_bytes(b"")
    with pytest.raises(AllFilesFailedError, match=r"short_100ksps\.cu8"):
        draw_all(plan_of(source, tmp_path / "out"))
    assert tree_of(tmp_path / "out") == {}


def test_without_a_rate_in_the_recipe_recordings_must_agree_on_theirs(tmp_path, draw_all):
    record(tmp_path / "in/a/slow_100ksps.cu8", 1)
    record(tmp_path / "in/a/fast_200ksps.cu8", 4)
    with pytest.raises(SampleRateError, match=r"slow_100ksps\.cu8 has 100000 .*fast_200ksps\.cu8 has 200000"):
        draw_all(plan_of(tmp_path / "in", tmp_path / "out"))
    stats = draw_all(plan_of(tmp_path / "in", tmp_path / "out", recipe={**RECIPE, "sample_rate": RATE})).stats
    assert (stats["pictures"], stats["failed"]) == (3, 0)


def test_the_log_says_what_is_resampled_and_which_classes_have_too_few_recordings(tmp_path, draw_all, run):
    record(tmp_path / "in/a/fast_200ksps.cu8", 4)
    draw_all(plan_of(tmp_path / "in", tmp_path / "out", recipe={**RECIPE, "sample_rate": RATE}))
    assert "1 recordings are resampled from 200000 to 100000" in run.warnings()
    assert "class a has 1 recordings that can be told apart: nothing of it is in valid" in run.warnings()


def test_a_class_of_which_nothing_can_be_used_is_told(tmp_path, draw_all, run):
    source = flights(tmp_path / "in")
    record(source / "none/short_100ksps.cu8", 0.5)
    assert draw_all(plan_of(source, tmp_path / "out")).stats["classes"] == ["fpv", "mini"]
    assert "class none: not one of its recordings can be used" in run.warnings()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_size": 64}, "image_size 32, not 64"),
        ({"recipe": {**RECIPE, "dynamic_range_db": 40}}, "recipe"),
        ({"seed": 8}, "seed 7, not 8"),
    ],
)
def test_another_request_for_the_same_folder_is_refused(tmp_path, draw_all, changes, told):
    plan = plan_of(flights(tmp_path / "in"), tmp_path / "out")
    draw_all(plan)
    with pytest.raises(OutputTakenError, match=told):
        draw_all(replace(plan, **changes))


def test_recordings_that_changed_are_not_mixed_into_what_is_there(tmp_path, draw_all):
    plan = plan_of(flights(tmp_path / "in"), tmp_path / "out")
    draw_all(plan)
    record(tmp_path / "in/fpv/flight0_100ksps.cu8", 2)
    with pytest.raises(OutputTakenError, match="came, went or were changed"):
        draw_all(plan)


@pytest.mark.parametrize("name", ["recipe.json", "manifest.csv", "flight_100ksps_0.png"])
def test_a_file_of_someone_else_is_never_overwritten(tmp_path, draw_all, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("theirs")
    with pytest.raises(OutputTakenError, match="is there already"):
        draw_all(plan_of(record(tmp_path / "flight_100ksps.cu8", 1), tmp_path / "out"))


def test_what_cannot_be_done_is_refused_before_anything_is_read(tmp_path, draw_all):
    (tmp_path / "in").mkdir()
    with pytest.raises(NoRecordingsError):
        draw_all(plan_of(tmp_path / "in", tmp_path / "out"))
    with pytest.raises(ConfigError, match="lies within"):
        draw_all(plan_of(flights(tmp_path / "in"), tmp_path / "in/fpv"))
    with pytest.raises(ConfigError, match="leave nothing for test"):
        draw_all(plan_of(tmp_path / "in", tmp_path / "out", val_ratio=0.4))


def test_more_pictures_than_anyone_can_want_are_refused_with_the_field(tmp_path, draw_all):
    path = record(tmp_path / "flight_100ksps.cu8", 252)
    with pytest.raises(RecipeError, match="frame_step_s"):
        draw_all(plan_of(path, tmp_path / "out", recipe={**RECIPE, "frame_step_s": 1 / RATE}))


def test_progress_tells_pictures_and_recordings(tmp_path, draw_all, run, monkeypatch):
    monkeypatch.setattr("actors.preprocessing.file_runs.REPORT_INTERVAL_S", 0.0)
    draw_all(plan_of(flights(tmp_path / "in"), tmp_path / "out", threads=1))
    told = [record.message for record in run.records]
    assert told[0] == "reading the headers of 9 recordings"
    assert "1 of 25 pictures done, recording 1 of 9" in told
    assert told[-1] == "completed: 25 of 25 pictures, 0 failed"
    assert [record.progress for record in run.records] == sorted(record.progress for record in run.records)


def test_its_folder_says_which_task_it_was(tmp_path, draw_all):
    draw_all(plan_of(record(tmp_path / "flight_100ksps.cu8", 1), tmp_path / "out"))
    manifest = json.loads((tmp_path / "out/preprocessing.json").read_text())
    assert (manifest["task"], manifest["status"]) == (PreprocessingType.SPECTROGRAM, "completed")
