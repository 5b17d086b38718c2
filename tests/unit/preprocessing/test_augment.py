"""Augmenting makes the named files, the same ones for the same seed, of every kind of picture."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from actors.files.errors import DatasetError
from actors.learning.errors import ConfigError
from actors.learning.pictures import open_picture
from actors.preprocessing.augment import run_augment
from actors.preprocessing.errors import AllFilesFailedError, OutputTakenError
from actors.preprocessing.plan import METHODS, AugmentPlan
from tests.unit.preprocessing.conftest import Runner, draw, pictures_of, tree_of


def plan_of(dataset: Path, **changes) -> AugmentPlan:
    return replace(AugmentPlan(dataset, dataset.parent / "dataset_aug", METHODS, 3, 2), **changes)


def png_of_size(width: int, height: int) -> bytes:
    """Make a PNG that claims a size and holds next to nothing."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_each_picture_is_there_untouched_and_once_by_each_method(tmp_path, run):
    dataset = tmp_path / "data"
    source = draw(dataset / "train/a/1.x.jpg")
    draw(dataset / "valid/b/2.PNG")
    outcome = run(run_augment, plan_of(dataset))
    expected = {f"train/a/1.x_AugM{number}.jpg" for number in range(6)} | {f"valid/b/2_AugM{number}.PNG" for number in range(6)}
    assert pictures_of(tmp_path / "dataset_aug") == expected | {"train/a/1.x_origin.jpg", "valid/b/2_origin.PNG"}
    assert (tmp_path / "dataset_aug/train/a/1.x_origin.jpg").read_bytes() == source.read_bytes()
    assert outcome.stats == {"original_images": 2, "augmented_images": 12, "methods_used": 6, "classes": ["a", "b"]}
    for name in expected:
        assert open_picture(tmp_path / "dataset_aug" / name).size == (40, 30)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sets(st.sampled_from(["1.jpg", "1.png", "x y.jpg", "1_AugM0.jpg", "1_origin.jpg"]), min_size=1),
    st.lists(st.sampled_from(METHODS), min_size=1, unique=True),
)
def test_there_are_as_many_files_as_pictures_times_methods_and_one(tmp_path_factory, names, methods):
    dataset = tmp_path_factory.mktemp("run") / "data"
    for name in names:
        draw(dataset / "train/a" / name, size=(8, 6))
    outcome = Runner()(run_augment, plan_of(dataset, methods=tuple(methods)))
    assert len(pictures_of(dataset.parent / "dataset_aug")) == len(names) * (len(methods) + 1)
    assert outcome.stats["augmented_images"] == len(names) * len(methods)


def test_what_a_picture_becomes_depends_on_seed_path_and_method_alone(tmp_path, run):
    dataset = tmp_path / "data"
    draw(dataset / "train/a/1.png")
    run(run_augment, plan_of(dataset))
    alone = tree_of(tmp_path / "dataset_aug")
    for number in range(2, 6):
        draw(dataset / f"train/a/{number}.png")
    run(run_augment, plan_of(dataset, output_path=tmp_path / "more", threads=1, methods=tuple(reversed(METHODS))))
    run(run_augment, plan_of(dataset, output_path=tmp_path / "other", seed=4))
    more, other = tree_of(tmp_path / "more"), tree_of(tmp_path / "other")
    assert all(alone[f"train/a/1_AugM{number}.png"] == more[f"train/a/1_AugM{5 - number}.png"] for number in range(6))
    assert alone["train/a/1_AugM3.png"] != other["train/a/1_AugM3.png"]
    assert more["train/a/2_AugM2.png"] != more["train/a/3_AugM2.png"]


KINDS = {
    "grey.png": {"mode": "L"},
    "grey.jpg": {"mode": "L"},
    "clear.png": {"mode": "RGBA"},
    "clear grey.png": {"mode": "LA"},
    "palette.png": {"mode": "P"},
    "black and white.png": {"mode": "1"},
    "cmyk.jpg": {"mode": "CMYK"},
    "small.bmp": {},
    "small.tiff": {},
    "palette.gif": {"mode": "P"},
    "one pixel.png": {"size": (2, 2)},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_picture_stays_of_its_kind(tmp_path, run, name):
    source = draw(tmp_path / "data/train/a" / name, **KINDS[name])
    run(run_augment, plan_of(tmp_path / "data"))
    assert not run.warnings()
    for number in range(6):
        with (
            Image.open(tmp_path / "dataset_aug/train/a" / f"{source.stem}_AugM{number}{source.suffix}") as made,
            Image.open(source) as given,
        ):
            assert (made.format, made.size) == (given.format, given.size)
            if given.mode in {"RGBA", "LA"}:
                made_alpha, alpha = (np.asarray(picture.convert("RGBA"))[..., 3] for picture in (made, given))
                assert (made_alpha == alpha).all()


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_pictures_of_16_bits_keep_them(tmp_path, run, shape):
    source = tmp_path / "data/train/a/deep.png"
    source.parent.mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(20_000, 40_000, shape, dtype=np.uint16)
    cv2.imwrite(str(source), pixels)
    run(run_augment, plan_of(tmp_path / "data"))
    assert not run.warnings()
    for number in range(6):
        made = cv2.imread(str(tmp_path / f"dataset_aug/train/a/deep_AugM{number}.png"), cv2.IMREAD_UNCHANGED)
        assert (made.dtype, made.shape) == (np.uint16, shape)
        assert 5_000 < made[..., :3].mean() < 60_000


def test_a_png_named_jpg_stays_a_png(tmp_path, run):
    draw(tmp_path / "data/train/a/1.png").rename(tmp_path / "data/train/a/1.jpg")
    run(run_augment, plan_of(tmp_path / "data", methods=("CLAHE",)))
    with Image.open(tmp_path / "dataset_aug/train/a/1_AugM0.jpg") as made:
        assert made.format == "PNG"


def test_damaged_and_hostile_pictures_fail_alone(tmp_path, run):
    folder = tmp_path / "data/train/a"
    good = draw(folder / "good.jpg")
    (folder / "cut.jpg").write_bytes(good.read_bytes()[:300])
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").touch()
    (folder / "bomb.png").write_bytes(png_of_size(60_000, 60_000))
    outcome = run(run_augment, plan_of(tmp_path / "data"))
    assert (outcome.status, outcome.done) == ("completed", 5)
    assert outcome.stats["augmented_images"] == 6
    assert {name.rpartition("/")[2].partition("_")[0] for name in pictures_of(tmp_path / "dataset_aug")} == {"good"}
    for name in ("cut.jpg", "text.png", "empty.jpg", "bomb.png"):
        assert f"train/a/{name} failed" in run.warnings()
    assert "3600000000 pixels" in run.warnings()


def test_a_dataset_of_damaged_pictures_only_fails_as_a_whole(tmp_path, run):
    (tmp_path / "data/train/a").mkdir(parents=True)
    (tmp_path / "data/train/a/1.png").write_text("no picture")
    with pytest.raises(AllFilesFailedError, match="none of the 1 pictures"):
        run(run_augment, plan_of(tmp_path / "data"))


def test_running_again_redoes_only_what_is_missing(tmp_path, run):
    for number in range(3):
        draw(tmp_path / f"data/train/a/{number}.jpg", seed=number)
    run(run_augment, plan_of(tmp_path / "data"))
    before = tree_of(tmp_path / "dataset_aug")
    (tmp_path / "dataset_aug/train/a/1_AugM4.jpg").unlink()
    run(run_augment, plan_of(tmp_path / "data"))
    assert run.published == ["train/a/1_AugM4.jpg", "preprocessing.json"]
    assert tree_of(tmp_path / "dataset_aug") == before


def test_a_stopped_run_goes_on_to_the_same_result(tmp_path, run):
    for number in range(8):
        draw(tmp_path / f"data/train/a/{number}.jpg", seed=number)
    plan = plan_of(tmp_path / "data", threads=1)
    assert run(run_augment, plan, should_stop=iter([False] * 2 + [True] * 99).__next__).status == "stopped"
    assert len(pictures_of(plan.output_path)) < 8 * 7
    run(run_augment, plan)
    run(run_augment, replace(plan, output_path=tmp_path / "at once"))
    stopped, at_once = tree_of(plan.output_path), tree_of(tmp_path / "at once")
    assert stopped == at_once


def test_other_methods_into_the_same_folder_are_refused(tmp_path, run):
    draw(tmp_path / "data/train/a/1.jpg")
    run(run_augment, plan_of(tmp_path / "data"))
    with pytest.raises(OutputTakenError, match="methods"):
        run(run_augment, plan_of(tmp_path / "data", methods=("CLAHE",)))


@pytest.mark.parametrize("methods", [(), ("Blur",), ("CLAHE", "CLAHE")])
def test_methods_that_are_no_list_of_known_ones_are_refused(tmp_path, run, methods):
    with pytest.raises(ConfigError, match="methods"):
        run(run_augment, plan_of(tmp_path / "data", methods=methods))


def test_a_dataset_without_train_and_valid_is_refused(tmp_path, run):
    draw(tmp_path / "data/test/a/1.jpg")
    with pytest.raises(DatasetError, match="train and"):
        run(run_augment, plan_of(tmp_path / "data"))


def test_a_name_that_its_suffix_makes_too_long_fails_alone(tmp_path, run):
    dataset = tmp_path / "data"
    draw(dataset / "train/a/1.jpg")
    draw(dataset / f"train/a/{'x' * 248}.jpg")
    outcome = run(run_augment, plan_of(dataset))
    assert outcome.status == "completed"
    assert outcome.stats["augmented_images"] == len(METHODS)
    assert "longer than a file name may be" in run.warnings()
