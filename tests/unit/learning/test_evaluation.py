"""Figures over the ratio of signal to noise: they fall with it, are the same again, count everything, and agree in all files."""

import csv
import dataclasses
import json
import os
import threading

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from scipy import signal
from torch import nn

from actors.files.atomic import move_into_place
from actors.files.errors import DatasetError
from actors.learning import evaluation, evaluation_books
from actors.learning.chosen_recipe import RecipeMissingError
from actors.learning.evaluation import AllFilesUnusableError, run_evaluation
from actors.learning.evaluation_files import Score
from actors.learning.evaluation_plan import USUAL_SNR_DB, EvaluationPlan, NoiseNotPossibleError, choose_ratios
from actors.learning.labelled_files import scan_labelled_files
from actors.learning.metrics import validation_metrics
from actors.learning.plan import Stage
from actors.learning.predictor import Predictor

RATE = 1e6
CLASSES = ("above", "below")
RECIPE = {"pipeline": "native", "nfft": 64, "frame_duration_s": 1e-3}


class Halves(nn.Module):
    """Says "above" where the upper half of a picture is the brighter one, "below" where the lower is."""

    def forward(self, pictures):
        upper, lower = pictures.mean(dim=1).mean(dim=2).tensor_split(2, dim=1)
        difference = (upper.mean(dim=1) - lower.mean(dim=1)) * 50
        return torch.stack([difference, -difference], dim=1)


def band(centre, snr_db, seed, samples=12_000):
    """White noise, and around a frequency a signal of about a ratio to it."""
    rng = np.random.default_rng(seed)
    noise, wide = (rng.normal(size=(samples, 2)).view(complex)[:, 0] for _ in range(2))
    shaped = signal.fftconvolve(wide * 10 ** (snr_db / 20), signal.firwin(255, 0.09 * RATE, fs=RATE), mode="same")
    return (noise + shaped * np.exp(2j * np.pi * centre / RATE * np.arange(samples))).astype(np.complex64)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Three loud recordings of each class, and a quiet one of the first."""
    root = tmp_path_factory.mktemp("recordings")
    for number, (name, centre) in enumerate(zip(CLASSES, (0.2 * RATE, -0.2 * RATE), strict=True)):
        (root / name).mkdir()
        for take in range(3):
            band(centre, 30, 10 * number + take).tofile(root / name / f"{take}.cf32")
    band(0.2 * RATE, 3, 99).tofile(root / "above" / "quiet.cf32")
    return root


class Run:
    def __init__(self, root, data_path, **changed):
        names = {name: index for index, name in enumerate(CLASSES)}
        keys = {"model": "mobilenet_v3_small", "num_classes": 2, "class_names": names, "image_size": 32}
        (root / "config.yaml").write_text(yaml.safe_dump(keys), "utf-8")
        self.out = root / "out"
        self.out.mkdir(exist_ok=True)
        self.records, self.published = [], []
        plan = EvaluationPlan(
            cfg_path=root / "config.yaml",
            weight_path=root / "best_model.pth",
            data_path=data_path,
            staging_dir=root / "staging",
            device="cpu",
            threads=2,
            snr_db=(-20.0, 0.0, 20.0),
            recipe=RECIPE,
            sample_rate=RATE,
            batch_size=5,
        )
        self.plan = dataclasses.replace(plan, **changed)

    def __call__(self, should_stop=lambda: False):
        return run_evaluation(self.plan, report=self.records.append, should_stop=should_stop, publish=self.publish)

    def publish(self, staged, name):
        move_into_place(staged, self.out / name)
        self.published.append(name)

    @property
    def found(self):
        return json.loads((self.out / "evaluation.json").read_text("utf-8"))

    @property
    def scores(self):
        return {score["snr_db"]: score for score in self.found["scores"]}

    def table(self, name="evaluation.csv"):
        return list(csv.DictReader((self.out / name).read_text("utf-8").splitlines()))


@pytest.fixture
def run(tmp_path, recordings, monkeypatch):
    """Make an evaluation of a hand-made network, by default with the recordings."""
    made = Predictor(Halves(), CLASSES, image_size=32, device=torch.device("cpu"))
    monkeypatch.setattr(evaluation, "load_predictor", lambda *_, **__: made)
    return lambda data_path=recordings, **changed: Run(tmp_path, data_path, **changed)


@pytest.fixture
def copied(recordings, tmp_path):
    """The recordings, to be spoilt."""
    root = tmp_path / "data"
    for path in recordings.rglob("*.cf32"):
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        (root / path.parent.name / path.name).write_bytes(path.read_bytes())
    return root


def test_noise_makes_a_good_network_guess(run):
    evaluated = run()
    assert evaluated().status == "completed"
    accuracy = {ratio: score["accuracy"] for ratio, score in evaluated.scores.items()}
    assert accuracy[None] > 95
    assert accuracy[20.0] == 100
    assert 30 < accuracy[-20.0] < 75
    assert accuracy[-20.0] < accuracy[0.0] <= accuracy[20.0]
    assert evaluated.scores[20.0]["recording_accuracy"] == 100


def test_what_is_noisier_than_a_ratio_is_left_out_of_it_and_counted(run):
    evaluated = run()
    evaluated()
    counts = {ratio: (score["recordings"], score["frames"], score["left_out"]) for ratio, score in evaluated.scores.items()}
    assert counts == {None: (7, 84, 0), -20.0: (7, 84, 0), 0.0: (7, 84, 0), 20.0: (6, 72, 1)}
    (quiet,) = (row for row in evaluated.table("evaluation_files.csv") if row["file"] == "above/quiet.cf32")
    assert 0 < float(quiet["snr_db"]) < 8
    assert any("1 left out" in record.message for record in evaluated.records)


def test_what_cannot_be_measured_is_evaluated_as_it_is_only(run, copied):
    np.zeros(12_000, np.complex64).tofile(copied / "below" / "silent.cf32")
    evaluated = run(copied)
    evaluated()
    assert (evaluated.scores[None]["recordings"], evaluated.scores[0.0]["recordings"]) == (8, 7)
    assert evaluated.scores[0.0]["left_out"] == 1
    (row,) = (row for row in evaluated.table("evaluation_files.csv") if row["file"] == "below/silent.cf32")
    assert (row["snr_db"], row["error"]) == ("", "")
    assert "no band stands out" in row["snr_error"]


@pytest.mark.parametrize("changed", [{"threads": 1}, {"batch_size": 64}, {"snr_db": (20.0, -20.0)}])
def test_the_same_seed_gives_the_same_figures_whatever_threads_batches_and_other_ratios(run, changed):
    first, again = run(), run(**changed)
    first()
    expected = first.scores
    again()
    assert expected.items() >= again.scores.items()


def test_another_seed_gives_other_noise(run):
    first, other = run(), run(seed=1)
    first()
    expected = first.scores[-20.0]
    other()
    assert other.scores[-20.0]["confusion"] != expected["confusion"]
    assert other.scores[None]["confusion"] == first.scores[None]["confusion"]


def test_all_files_tell_the_same_and_the_json_comes_last(run):
    evaluated = run()
    evaluated()
    assert evaluated.published == [
        "evaluation.png",
        "confusion_matrix.png",
        "evaluation.csv",
        "evaluation_files.csv",
        "evaluation.json",
    ]
    rows = evaluated.table()
    assert [row["snr_db"] for row in rows] == ["clean", "-20", "0", "20"]
    for row, score in zip(rows, evaluated.found["scores"], strict=True):
        assert {name: float(value) for name, value in row.items() if name != "snr_db"} == {
            name: value for name, value in score.items() if name not in ("snr_db", "confusion")
        }
        assert sum(map(sum, score["confusion"])) == score["frames"]
    assert [recipe["sample_rate"] for recipe in evaluated.found["recipes"]] == [RATE]
    for name in evaluated.published[:2]:
        with Image.open(evaluated.out / name) as picture:
            assert picture.format == "PNG"


def test_the_usual_ratios_are_those_of_the_benchmark(run):
    assert choose_ratios(None, scan_labelled_files(run().plan.data_path, CLASSES)) == USUAL_SNR_DB
    assert (USUAL_SNR_DB[0], USUAL_SNR_DB[-1], len(USUAL_SNR_DB)) == (-20, 20, 21)


def test_without_ratios_nothing_is_measured_but_the_files_as_they_are(run):
    evaluated = run(snr_db=())
    evaluated()
    assert tuple(evaluated.scores) == (None,)
    assert {row["snr_db"] for row in evaluated.table("evaluation_files.csv")} == {""}


def test_recordings_of_another_rate_are_brought_to_the_recipes_and_the_log_says_so(run):
    evaluated = run(recipe=RECIPE | {"sample_rate": 0.8 * RATE}, snr_db=(-20.0, 20.0))
    evaluated()
    assert evaluated.scores[20.0]["accuracy"] == 100
    assert evaluated.scores[-20.0]["accuracy"] < 80
    told = [record.message for record in evaluated.records if "brought from 1e+06 to the recipe's 800000" in record.message]
    assert len(told) == 7


class TestBadFiles:
    def test_one_is_counted_with_its_reason_and_in_no_figure(self, run, copied):
        samples = np.fromfile(copied / "above" / "0.cf32", np.complex64)
        samples[11_500] = np.nan  # in its last frame
        samples.tofile(copied / "above" / "0.cf32")
        (copied / "below" / "cut.cf32").write_bytes(b"12345")
        evaluated = run(copied)
        evaluated()
        assert (evaluated.found["files"], evaluated.found["failed"]) == (8, 2)
        assert evaluated.scores[None]["recordings"] == 6
        assert evaluated.scores[None]["frames"] == 6 * 12
        errors = {row["file"]: row["error"] for row in evaluated.table("evaluation_files.csv") if row["error"]}
        assert set(errors) == {"above/0.cf32", "below/cut.cf32"}
        assert sum(record.level == "WARNING" and ".cf32" in record.message for record in evaluated.records) == 2

    def test_one_that_goes_bad_in_a_pass_without_ratios_is_found_too(self, run, copied):
        samples = np.fromfile(copied / "above" / "0.cf32", np.complex64)
        samples[11_500] = np.nan
        samples.tofile(copied / "above" / "0.cf32")
        evaluated = run(copied, snr_db=())
        evaluated()
        assert evaluated.scores[None]["frames"] == 6 * 12

    def test_one_whose_name_is_no_text_is_named_as_far_as_it_can_be(self, run, copied):
        (copied / "below" / os.fsdecode(b"cut\xff.cf32")).write_bytes(b"12345")
        evaluated = run(copied, snr_db=())
        evaluated()
        (row,) = [row for row in evaluated.table("evaluation_files.csv") if row["error"]]
        assert row["file"] == "below/cut\N{REPLACEMENT CHARACTER}.cf32"
        assert "ends within a sample" in row["error"]

    def test_all_of_them_fail_the_run(self, run, copied):
        for path in copied.rglob("*.cf32"):
            path.write_bytes(b"12345")
        with pytest.raises(AllFilesUnusableError, match=r"none of the 7 files could be used; the first: .*cf32"):
            run(copied)()


@pytest.mark.parametrize("frames", [0, 10, 100])
def test_a_stop_takes_effect_within_two_frames_and_publishes_nothing(run, frames):
    asked = []
    evaluated = run()
    threads = threading.active_count()

    def should_stop():
        asked.append(None)
        return len(asked) > frames

    outcome = evaluated(should_stop)
    assert (outcome.status, outcome.evaluation) == ("stopped", None)
    assert outcome.frames <= frames
    assert len(asked) <= frames + 2
    assert evaluated.published == []
    assert threading.active_count() == threads


def test_progress_goes_by_ratio_and_frame_and_every_ratio_has_a_line_with_figures(run, monkeypatch):
    monkeypatch.setattr(evaluation_books, "REPORT_INTERVAL_S", 0.0)
    evaluated = run()
    outcome = evaluated()
    lines = [record for record in evaluated.records if record.stage is Stage.VALIDATION]
    assert [record.metrics.get("snr_db") for record in lines] == [None, -20, 0, 20]
    assert [record.progress for record in lines] == [25, 50, 75, 99]
    assert lines[0].metrics["accuracy"] == evaluated.scores[None]["accuracy"]
    steps = [record.step for record in evaluated.records]
    assert steps == sorted(steps)
    assert steps[-1] == outcome.frames == 3 * 84 + 72
    assert any("ratio 2 of 4: 10 of 84 frames" in record.message for record in evaluated.records)


def test_threads_of_the_engine_leave_the_networks_alone(run):
    torch.set_num_threads(2)
    run(snr_db=())()
    assert torch.get_num_threads() == 2


class TestPictures:
    @pytest.fixture
    def pictures(self, tmp_path):
        for name, rows in zip(CLASSES, (slice(0, 20), slice(20, 40)), strict=True):
            (tmp_path / "pictures" / name).mkdir(parents=True)
            for number in range(3):
                pixels = np.zeros((40, 40, 3), np.uint8)
                pixels[rows] = 200
                Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
        return tmp_path / "pictures"

    def test_they_are_evaluated_as_they_are(self, run, pictures):
        (pictures / "above" / "1.png").write_bytes(b"no picture")
        (pictures / "below" / "0.png").write_bytes((pictures / "above" / "0.png").read_bytes())
        evaluated = run(pictures, snr_db=None)
        evaluated()
        (score,) = evaluated.found["scores"]
        assert score["confusion"] == [[2, 0], [1, 2]]
        assert (score["accuracy"], score["recordings"]) == (80, 5)
        assert (evaluated.found["kind"], evaluated.found["failed"], evaluated.found["recipes"]) == ("pictures", 1, [])

    def test_ratios_for_them_are_refused(self, run, pictures):
        with pytest.raises(NoiseNotPossibleError, match="pictures, to which no noise"):
            run(pictures)()

    def test_a_mixture_is_refused_by_name(self, run, pictures):
        band(0, 10, 1).tofile(pictures / "above" / "one.cf32")
        with pytest.raises(DatasetError, match=r"pictures \(above/0\.png\) and recordings \(above/one\.cf32\)"):
            run(pictures)()


def test_folders_that_are_no_classes_are_named_with_the_classes(run, copied):
    (copied / "above").rename(copied / "over")
    with pytest.raises(DatasetError, match=r"no classes of the model: over The model knows above, below"):
        run(copied)()


def test_without_a_recipe_it_says_so(run):
    with pytest.raises(RecipeMissingError, match=r"for best_model\.pth"):
        run(recipe=None)()


def test_macro_f1_is_that_of_training(run):
    rng = np.random.default_rng(3)
    labels, predicted = rng.integers(3, size=50), rng.integers(3, size=50)
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (labels, predicted), 1)
    logits = torch.nn.functional.one_hot(torch.from_numpy(predicted), 4).float()
    expected = validation_metrics(logits, torch.from_numpy(labels))
    score = Score.of(None, confusion.tolist(), recordings=1, right_recordings=1, left_out=0)
    assert score.macro_f1 == pytest.approx(expected.macro_f1, abs=1e-6)
    assert score.accuracy == pytest.approx(expected.val_acc, abs=1e-4)
