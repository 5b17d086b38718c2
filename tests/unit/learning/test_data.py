"""Pictures are decoded once, exactly as torchvision would, and their order is a function of seed and epoch."""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from actors.files.errors import DiskFullError
from actors.learning import data, vision
from actors.learning.class_tree import ClassTree, scan_class_folders
from actors.learning.data import BatchSource, Decoding, PictureSet, batch_bounds, decode_pictures
from actors.learning.errors import UnreadablePictureError

CPU = torch.device("cpu")


def torchvision(part: str) -> ModuleType:
    assert vision.models, "torchvision can be imported only after our module for it"
    return importlib.import_module(f"torchvision.{part}")


def never() -> bool:
    return False


@pytest.fixture
def tree(tmp_path: Path) -> ClassTree:
    random = np.random.default_rng(0)
    for index, (name, suffix) in enumerate([("a", "jpg"), ("a", "png"), ("b", "bmp"), ("b", "jpeg"), ("b", "gif")]):
        folder = tmp_path / "tree" / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (40 + 7 * index, 90 - 11 * index, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.{suffix}")
    return scan_class_folders(tmp_path / "tree")


def decoding(tmp_path: Path, *, budget: int = 1 << 20, threads: int = 2) -> Decoding:
    return Decoding(image_size=32, memory_budget_bytes=budget, scratch_dir=tmp_path, threads=threads)


def decoded(tree: ClassTree, how: Decoding, should_stop: Callable[[], bool] = never) -> PictureSet:
    pictures = decode_pictures(tree, how, should_stop)
    assert pictures is not None
    return pictures


def numbered(count: int, **settings: object) -> BatchSource:
    pixels = torch.arange(count, dtype=torch.uint8).reshape(count, 1, 1, 1).expand(count, 1, 1, 3)
    return BatchSource(PictureSet(pixels, torch.arange(count), ""), device=CPU, **settings)


def labels(source: BatchSource, epoch: int, start: int = 0) -> list[int]:
    return [label for batch in source.batches(epoch, start=start) for label in batch.labels.tolist()]


def test_pictures_equal_those_of_torchvisions_resize_and_totensor(tree: ClassTree, tmp_path: Path) -> None:

    transforms = torchvision("transforms")
    as_upstream = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
    reference = torchvision("datasets").ImageFolder(str(tree.root), as_upstream, is_valid_file=lambda _: True)
    (batch,) = BatchSource(decoded(tree, decoding(tmp_path)), 8, CPU).batches(0)
    assert torch.equal(batch.pictures, torch.stack([picture for picture, _ in reference]))
    assert batch.labels.tolist() == [label for _, label in reference]
    assert batch.pictures.dtype is torch.float32


def test_every_picture_is_decoded_once_for_all_epochs(tree: ClassTree, tmp_path: Path) -> None:
    with patch.object(data, "decode_picture", wraps=data.decode_picture) as decode:
        source = BatchSource(decoded(tree, decoding(tmp_path)), 2, CPU, shuffle=True)
        for epoch in range(3):
            list(source.batches(epoch))
    assert decode.call_count == len(tree.samples)


def test_pictures_over_the_budget_lie_in_a_file_that_has_no_name(tree: ClassTree, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    in_memory, in_file = decoded(tree, decoding(tmp_path)), decoded(tree, decoding(tmp_path, budget=100))
    assert sorted(tmp_path.iterdir()) == before
    assert torch.equal(in_memory.pixels, in_file.pixels)
    assert torch.equal(in_memory.labels, in_file.labels)


def test_a_scratch_folder_without_room_is_a_full_disk(tree: ClassTree, tmp_path: Path) -> None:
    no_room = OSError(28, "No space left on device")
    with patch("os.posix_fallocate", side_effect=no_room), pytest.raises(DiskFullError):
        decode_pictures(tree, decoding(tmp_path, budget=0), never)


def test_threads_do_not_change_the_result(tree: ClassTree, tmp_path: Path) -> None:
    one, three = decoded(tree, decoding(tmp_path, threads=1)), decoded(tree, decoding(tmp_path, threads=3))
    assert torch.equal(one.pixels, three.pixels)
    assert one.fingerprint == three.fingerprint


def test_the_fingerprint_tells_names_and_contents(tree: ClassTree, tmp_path: Path) -> None:
    before = decoded(tree, decoding(tmp_path)).fingerprint
    (tree.root / "a/0.jpg").rename(tree.root / "a/00.jpg")
    renamed = decoded(scan_class_folders(tree.root), decoding(tmp_path)).fingerprint
    (tree.root / "a/00.jpg").write_bytes((tree.root / "a/1.png").read_bytes())
    changed = decoded(scan_class_folders(tree.root), decoding(tmp_path)).fingerprint
    assert len({before, renamed, changed}) == 3


def test_unreadable_pictures_are_counted_and_five_are_named(tree: ClassTree, tmp_path: Path) -> None:
    whole = (tree.root / "a/0.jpg").read_bytes()
    (tree.root / "b/cut.jpg").write_bytes(whole[: len(whole) // 2])
    for index in range(6):
        (tree.root / f"b/text{index}.jpg").write_text("not a picture")
    with pytest.raises(UnreadablePictureError) as caught:
        decode_pictures(scan_class_folders(tree.root), decoding(tmp_path), never)
    message = caught.value.message
    assert message.startswith("7 pictures")
    assert "b/cut.jpg" in message
    assert "and 2 more" in message
    assert message.count("b/text") == 4


def test_a_picture_that_vanished_is_unreadable(tree: ClassTree, tmp_path: Path) -> None:
    (tree.root / "a/0.jpg").unlink()
    with pytest.raises(UnreadablePictureError, match=r"1 picture below .*a/0\.jpg"):
        decode_pictures(tree, decoding(tmp_path), never)


def test_decoding_ends_early_when_asked(tree: ClassTree, tmp_path: Path) -> None:
    assert decode_pictures(tree, decoding(tmp_path), lambda: True) is None


def test_an_epoch_has_every_picture_once_in_an_order_of_its_own() -> None:
    source = numbered(50, batch_size=8, seed=3, shuffle=True)
    assert sorted(labels(source, 0)) == list(range(50))
    assert labels(source, 0) == labels(numbered(50, batch_size=8, seed=3, shuffle=True), 0)
    assert len({tuple(labels(numbered(50, batch_size=8, seed=s, shuffle=True), e)) for s in (3, 4) for e in (0, 1)}) == 4


def test_without_shuffling_pictures_keep_the_order_of_the_tree() -> None:
    assert labels(numbered(50, batch_size=8, seed=3), 7) == list(range(50))


@given(count=st.integers(1, 60), batch_size=st.integers(1, 20), done=st.integers(0, 5))
def test_an_epoch_goes_on_where_it_was_left(count: int, batch_size: int, done: int) -> None:
    source = numbered(count, batch_size=batch_size, seed=1, shuffle=True)
    whole = [batch.labels.tolist() for batch in source.batches(4)]
    position = sum(len(batch) for batch in whole[:done])
    assert [batch.labels.tolist() for batch in source.batches(4, start=position)] == whole[done:]


@given(count=st.integers(1, 200), batch_size=st.integers(2, 40))
def test_no_picture_is_alone_in_a_batch_unless_it_is_the_only_one(count: int, batch_size: int) -> None:
    bounds = batch_bounds(count, batch_size)
    assert [index for begin, end in bounds for index in range(begin, end)] == list(range(count))
    assert all(2 <= end - begin <= batch_size + 1 for begin, end in bounds) or count == 1


def test_pictures_of_a_batch_belong_to_its_labels() -> None:
    (batch,) = numbered(20, batch_size=20, seed=5, shuffle=True).batches(0)
    assert torch.equal((batch.pictures[:, 0, 0, 0] * 255).round().long(), batch.labels)
