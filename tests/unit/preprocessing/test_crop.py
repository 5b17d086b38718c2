"""A crop writes the box of each picture under the picture's own path."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from actors.learning.errors import ConfigError
from actors.learning.pictures import NoPicturesError
from actors.preprocessing.crop import run_crop
from actors.preprocessing.errors import AllFilesFailedError, OutputTakenError
from actors.preprocessing.plan import CropPlan
from tests.unit.preprocessing.conftest import draw, pictures_of, tree_of


def plan_of(source: Path, output: Path, **changes) -> CropPlan:
    return replace(CropPlan(source, output, x=5, y=3, width=20, height=10, threads=2), **changes)


def test_the_box_is_cut_out_exactly(tmp_path, run):
    source = draw(tmp_path / "in/1.png")
    outcome = run(run_crop, plan_of(source, tmp_path / "out"))
    with Image.open(source) as before, Image.open(tmp_path / "out/1.png") as after:
        assert (np.asarray(after) == np.asarray(before)[3:13, 5:25]).all()
    assert outcome.stats == {"total_images": 1, "success": 1, "failed": 0}


def test_a_tree_keeps_its_folders_and_a_box_outside_is_that_files_failure(tmp_path, run):
    draw(tmp_path / "in/a/deep/1.jpg")
    draw(tmp_path / "in/2.bmp")
    draw(tmp_path / "in/a/small.png", size=(24, 30))
    outcome = run(run_crop, plan_of(tmp_path / "in", tmp_path / "out"))
    assert pictures_of(tmp_path / "out") == {"a/deep/1.jpg", "2.bmp"}
    assert outcome.stats == {"total_images": 3, "success": 2, "failed": 1}
    assert "a/small.png failed: the box (5, 3) to (25, 13) leaves the picture of 24 x 30" in run.warnings()


def test_running_again_tries_only_what_failed(tmp_path, run):
    draw(tmp_path / "in/1.png")
    draw(tmp_path / "in/small.png", size=(8, 8))
    first = run(run_crop, plan_of(tmp_path / "in", tmp_path / "out"))
    before = tree_of(tmp_path / "out")
    assert run(run_crop, plan_of(tmp_path / "in", tmp_path / "out")) == first
    assert run.published == ["preprocessing.json"]
    assert tree_of(tmp_path / "out") == before


def test_a_box_outside_every_picture_fails_the_task(tmp_path, run):
    draw(tmp_path / "in/1.png")
    with pytest.raises(AllFilesFailedError, match="leaves the picture"):
        run(run_crop, plan_of(tmp_path / "in", tmp_path / "out", x=100))


def test_a_picture_is_never_cropped_onto_itself(tmp_path, run):
    source = draw(tmp_path / "1.png")
    before = source.read_bytes()
    with pytest.raises(OutputTakenError, match=r"1\.png is there already"):
        run(run_crop, plan_of(source, tmp_path))
    with pytest.raises(ConfigError, match="lies within input_path"):
        run(run_crop, plan_of(tmp_path, tmp_path / "out"))
    assert source.read_bytes() == before


@pytest.mark.parametrize(("field", "value"), [("x", -1), ("y", -1), ("width", 0), ("height", 0)])
def test_a_box_that_is_none_is_refused(tmp_path, run, field, value):
    with pytest.raises(ConfigError, match=f"{field} is {value}"):
        run(run_crop, plan_of(tmp_path / "in", tmp_path / "out", **{field: value}))


def test_an_input_that_is_not_there_is_refused(tmp_path, run):
    with pytest.raises(NoPicturesError, match="nothing"):
        run(run_crop, plan_of(tmp_path / "nothing.png", tmp_path / "out"))
