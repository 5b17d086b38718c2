"""Annotated copies say what was predicted, fit their picture and never take each other's place."""

from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from actors.files.errors import OutputError
from actors.learning.annotate import annotate_picture, annotated_names
from actors.learning.errors import UnreadablePictureError


def names(*files: str) -> dict[str, str]:
    """Where copies of these files go."""
    chosen = annotated_names(PurePosixPath(file) for file in files)
    return {str(source): str(copy) for source, copy in chosen.items()}


def red_box(path: Path) -> tuple[int, int, int, int]:
    """The box around all red: left, top, right, bottom."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    rows, columns = np.nonzero((pixels[..., 0] > 120) & (pixels[..., 1:].max(axis=2) < 90))
    return columns.min(), rows.min(), columns.max(), rows.max()


def annotated(folder: Path, *, size: tuple[int, int], class_name: str = "DJI MINI3", image_format: str = "PNG") -> Path:
    """Annotate a black picture."""
    source, target = folder / "source", folder / "copy.jpg"
    Image.new("RGB", size).save(source, image_format)
    annotate_picture(source, target, class_name, 97.314)
    return target


def test_a_copy_keeps_folder_and_base_name():
    assert names("a/b.jpg", "c.png", "d.e.tiff") == {"a/b.jpg": "a/b.jpg", "c.png": "c.jpg", "d.e.tiff": "d.e.jpg"}


def test_equal_names_in_different_folders_stay_apart():
    assert len(set(names("a/1.jpg", "b/1.jpg", "1.jpg").values())) == 3


def test_pictures_that_differ_in_their_extension_keep_it():
    assert names("a.jpg", "a.png", "a.bmp") == {"a.jpg": "a.jpg", "a.png": "a.png.jpg", "a.bmp": "a.bmp.jpg"}


@pytest.mark.parametrize(
    "files", [("a.png", "a.bmp", "a.png.jpg"), ("a.JPG", "a.jpg", "a.JPG.jpg"), ("a.b.png", "a.b", "a.b.jpg", "a.b.jpg.jpg")]
)
def test_no_two_copies_ever_share_a_place(files):
    assert len(set(names(*files).values())) == len(files)


def test_names_do_not_depend_on_the_order_of_the_files():
    files = ["b.png", "a.png.jpg", "a.png", "a.bmp"]
    assert names(*files) == names(*reversed(files))


def test_a_large_picture_has_its_text_at_40_40_with_size_45(tmp_path):
    left, top, right, bottom = red_box(annotated(tmp_path, size=(1920, 1440)))
    assert 38 <= left <= 46
    assert 40 <= top <= 55
    assert 25 <= bottom - top <= 45
    assert right - left > 250


def test_the_copy_is_a_jpeg_of_the_same_size(tmp_path):
    with Image.open(annotated(tmp_path, size=(640, 480), image_format="TIFF")) as copy:
        assert (copy.format, copy.size) == ("JPEG", (640, 480))


@pytest.mark.parametrize("size", [(224, 224), (128, 128), (256, 40), (100, 800)])
def test_the_text_of_a_small_picture_ends_within_it(tmp_path, size):
    _, _, right, bottom = red_box(annotated(tmp_path, size=size, class_name="DJI MINI4"))
    assert right < size[0] - 1
    assert bottom < size[1] - 1


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (16, 4)])
def test_a_tiny_picture_is_no_reason_to_fail(tmp_path, size):
    assert annotated(tmp_path, size=size).exists()


@pytest.mark.parametrize("class_name", ["大疆 御3", "Жук", "Dröhne", "🚁", "العربية", "", " ", "%s {} \\n", "x" * 500])
def test_any_class_name_is_drawn(tmp_path, class_name):
    left, _, right, _ = red_box(annotated(tmp_path, size=(1200, 200), class_name=class_name))
    assert right > left


def test_letters_that_no_font_has_appear_as_their_escapes(tmp_path):
    private = annotated(tmp_path, size=(1200, 200), class_name="\U000f0000").read_bytes()
    assert private == annotated(tmp_path, size=(1200, 200), class_name="\\U000f0000").read_bytes()


def test_line_breaks_appear_as_their_escapes(tmp_path):
    broken = annotated(tmp_path, size=(1200, 200), class_name="a\nb").read_bytes()
    assert broken == annotated(tmp_path, size=(1200, 200), class_name="a\\nb").read_bytes()


def test_the_percentage_has_two_decimals(tmp_path):
    shown = annotated(tmp_path, size=(1200, 200)).read_bytes()
    annotate_picture(tmp_path / "source", tmp_path / "rounded.jpg", "DJI MINI3", 97.31)
    assert (tmp_path / "rounded.jpg").read_bytes() == shown


def test_an_unreadable_picture_is_an_error_and_leaves_no_copy(tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    with pytest.raises(UnreadablePictureError):
        annotate_picture(tmp_path / "broken.jpg", tmp_path / "copy.jpg", "noise", 1.0)
    assert not (tmp_path / "copy.jpg").exists()


def test_a_target_that_cannot_be_written_is_an_error_of_the_output(tmp_path):
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    with pytest.raises(OutputError, match=r"copy\.jpg"):
        annotate_picture(tmp_path / "a.png", tmp_path / "nowhere" / "copy.jpg", "noise", 1.0)
