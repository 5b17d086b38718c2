"""Links that lead out, and files that are none, are never opened."""

import os
import socket
import subprocess

import numpy as np
import pytest
from PIL import Image

from actors.files.data_roots import ANYWHERE, DataRoots, NoRegularFileError, OutsideRootsError
from actors.files.errors import DatasetError
from actors.learning.class_tree import scan_class_folders
from actors.learning.errors import UnreadablePictureError
from actors.learning.pictures import decode_picture, find_pictures


@pytest.fixture
def world(tmp_path):
    """Two roots, and beside them what no request may see."""
    for name in ("first", "second", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside/secret.txt").write_text("secret")
    Image.new("RGB", (8, 8), "red").save(tmp_path / "outside/a.png")
    return tmp_path


@pytest.fixture
def roots(world):
    return DataRoots.of([world / "first", world / "second"], [world / "first/state"])


def test_a_link_between_roots_is_followed(world, roots):
    (world / "second/a").write_text("there")
    (world / "first/a").symlink_to(world / "second/a")
    with roots.open(world / "first/a") as file:
        assert file.read() == b"there"


def test_a_link_out_of_the_roots_is_not_followed(world, roots):
    (world / "first/a").symlink_to(world / "outside/secret.txt")
    with pytest.raises(OutsideRootsError, match="outside the data roots"):
        roots.open(world / "first/a")


def test_what_is_closed_stays_closed_behind_a_link(world, roots):
    (world / "first/state").mkdir()
    (world / "first/state/store.sqlite").write_text("keys")
    (world / "first/a").symlink_to("state/store.sqlite")
    for path in (world / "first/a", world / "first/state/store.sqlite"):
        with pytest.raises(OutsideRootsError):
            roots.open(path)


def test_a_file_that_is_exchanged_for_a_link_between_check_and_opening_is_refused(world, roots, monkeypatch):
    path = world / "first/a"
    path.write_text("harmless")
    really_open = os.open

    def open_late(*args, **options):
        path.unlink()
        path.symlink_to(world / "outside/secret.txt")
        return really_open(*args, **options)

    monkeypatch.setattr(os, "open", open_late)
    with pytest.raises(OutsideRootsError):
        roots.open(path)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
def test_what_is_no_regular_file_is_refused_without_waiting(world, kind):
    path = world / "first/a.png"
    with socket.socket(socket.AF_UNIX) as listening:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            listening.bind(str(path))
        with pytest.raises(NoRegularFileError):
            ANYWHERE.open(path)
        with pytest.raises(UnreadablePictureError, match="no regular file"):
            decode_picture(path, 8)


def test_a_circle_of_links_is_refused(world, roots):
    (world / "first/a").symlink_to("a")
    with pytest.raises(OutsideRootsError):
        roots.locate(world / "first/a")


def picture(path, colour="blue"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path)


def test_a_class_folder_may_be_a_link_into_another_root(world, roots):
    picture(world / "second/big/1.png")
    picture(world / "first/set/a/1.png")
    (world / "first/set/b").symlink_to(world / "second/big")
    assert scan_class_folders(world / "first/set", roots=roots).samples == (("a/1.png", 0), ("b/1.png", 1))


def test_a_class_folder_that_is_a_link_out_of_the_roots_is_refused_by_name(world, roots):
    picture(world / "first/set/a/1.png")
    (world / "first/set/b").symlink_to(world / "outside")
    with pytest.raises(DatasetError, match=r"set/b is a link out of the data roots"):
        scan_class_folders(world / "first/set", roots=roots)


def test_a_picture_that_is_a_link_out_of_the_roots_is_not_read(world, roots):
    picture(world / "first/set/a/1.png")
    (world / "first/set/a/2.png").symlink_to(world / "outside/a.png")
    assert np.array_equal(decode_picture(world / "first/set/a/2.png", 8)[0, 0], [255, 0, 0])
    with pytest.raises(UnreadablePictureError, match="link out of the data roots"):
        decode_picture(world / "first/set/a/2.png", 8, roots=roots)


def test_pipes_and_devices_among_pictures_are_passed_over(world, roots):
    picture(world / "first/set/a/1.png")
    os.mkfifo(world / "first/set/a/2.png")
    (world / "first/set/a/3.png").symlink_to("/dev/zero")
    assert scan_class_folders(world / "first/set", roots=roots).samples == (("a/1.png", 0),)
    assert [path.name for path in find_pictures(world / "first/set")] == ["1.png"]


@pytest.fixture
def deep(tmp_path):
    """A tree deeper than any stack. It is removed by a program that can; pytest's own way cannot."""
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1_100):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    yield tmp_path
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


@pytest.mark.long
def test_a_tree_deeper_than_any_stack_is_listed(deep):
    picture(deep / "d/d/1.png")
    assert len(scan_class_folders(deep).samples) == 1
    assert len(find_pictures(deep)) == 1


def test_a_root_inside_a_closed_folder_is_open_and_the_rest_of_that_folder_is_not(tmp_path):
    roots = DataRoots.of([tmp_path / "var/data", tmp_path], [tmp_path / "var"])
    assert roots.holds(tmp_path / "var/data/a")
    assert not roots.holds(tmp_path / "var/store.sqlite")
    assert roots.holds(tmp_path / "various")
    assert not roots.holds(tmp_path.parent / f"{tmp_path.name}-other")
