"""A tree of class folders is read as torchvision's ImageFolder reads it, and refused with a reason where it cannot be."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from actors.files.errors import DatasetError
from actors.learning import vision
from actors.learning.class_tree import scan_class_folders, scan_dataset


def torchvision(part: str) -> ModuleType:
    assert vision.models, "torchvision can be imported only after our module for it"
    return importlib.import_module(f"torchvision.{part}")


def _put(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / name, format="JPEG")
    return root


def test_classes_are_in_ascii_order_like_those_of_imagefolder(tmp_path: Path) -> None:

    root = _put(tmp_path, "empty/1.jpg", "DJI MINI3/1.jpg", "FLYSKY/1.jpg", "_x/1.jpg", "Zulu/1.jpg", "10/1.jpg")
    tree = scan_class_folders(root)
    assert list(tree.classes) == torchvision("datasets").ImageFolder(str(root)).classes
    assert tree.classes == ("10", "DJI MINI3", "FLYSKY", "Zulu", "_x", "empty")


def test_every_picture_belongs_to_the_class_of_its_top_folder(tmp_path: Path) -> None:
    tree = scan_class_folders(_put(tmp_path, "a/2.JPG", "a/1.png", "b/deep/er/x.tiff", "b/y.bmp"))
    assert tree.samples == (("a/1.png", 0), ("a/2.JPG", 0), ("b/deep/er/x.tiff", 1), ("b/y.bmp", 1))
    assert tree.counts == (2, 2)


def test_other_files_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    _put(tmp_path, "a/1.jpg", "a/.hidden.jpg", ".git/x.jpg", "a/.thumbs/1.jpg")
    (tmp_path / "a/labels.txt").touch()
    (tmp_path / "readme.jpg").touch()
    assert scan_class_folders(tmp_path).samples == (("a/1.jpg", 0),)


def test_a_linked_class_folder_counts_and_a_loop_does_not_hang(tmp_path: Path) -> None:
    store = _put(tmp_path / "store", "1.jpg")
    root = _put(tmp_path / "root", "a/1.jpg")
    (root / "b").symlink_to(store)
    (root / "a" / "loop").symlink_to(root)
    assert scan_class_folders(root).samples == (("a/1.jpg", 0), ("b/1.jpg", 1))


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    _put(tmp_path, "a/1.jpg")
    (tmp_path / "lonely").mkdir()
    with pytest.raises(DatasetError, match="lonely"):
        scan_class_folders(tmp_path)


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no class folders"):
        scan_class_folders(_put(tmp_path, "1.jpg"))


@pytest.mark.parametrize("name", ["missing", "1.jpg"])
def test_what_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    _put(tmp_path, "1.jpg")
    with pytest.raises(DatasetError, match="not a folder"):
        scan_class_folders(tmp_path / name)


def test_a_class_name_that_no_text_file_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="unprintable"):
        scan_class_folders(_put(tmp_path, "two\nlines/1.jpg"))


def test_fewer_classes_than_folders_are_refused(tmp_path: Path) -> None:
    train, val = _put(tmp_path / "t", "a/1.jpg", "b/1.jpg"), _put(tmp_path / "v", "a/1.jpg", "b/1.jpg")
    with pytest.raises(DatasetError, match=r"num_classes is 1, but .* has 2 class folders"):
        scan_dataset(train, val, 1)


def test_more_classes_than_folders_are_a_warning(tmp_path: Path) -> None:
    train, val = _put(tmp_path / "t", "a/1.jpg", "b/1.jpg"), _put(tmp_path / "v", "a/1.jpg", "b/1.jpg")
    (warning,) = scan_dataset(train, val, 5).warnings
    assert "outputs 2 to 4" in warning


def test_validation_pictures_take_the_indexes_of_training(tmp_path: Path) -> None:
    train, val = _put(tmp_path / "t", "a/1.jpg", "b/1.jpg", "c/1.jpg"), _put(tmp_path / "v", "c/1.jpg", "a/1.jpg")
    dataset = scan_dataset(train, val, 3)
    assert dataset.val.samples == (("a/1.jpg", 0), ("c/1.jpg", 2))
    assert dataset.val.classes == ("a", "b", "c")
    assert any("lacks the classes b" in warning for warning in dataset.warnings)


def test_validation_classes_that_training_lacks_are_refused(tmp_path: Path) -> None:
    train, val = _put(tmp_path / "t", "a/1.jpg"), _put(tmp_path / "v", "a/1.jpg", "b/1.jpg")
    with pytest.raises(DatasetError, match="training tree lacks: b"):
        scan_dataset(train, val, 2)
