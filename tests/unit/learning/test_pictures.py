"""Pictures are found in a fixed order and decoded in one way, and hostile files cannot do harm."""

import contextlib
import errno
import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from actors.files.errors import DatasetError
from actors.learning.errors import UnreadablePictureError
from actors.learning.pictures import (
    MAX_PICTURE_PIXELS,
    PICTURE_EXTENSIONS,
    NoPicturesError,
    decode_picture,
    find_pictures,
    open_picture,
)


def encoded(image_format: str, *, mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> bytes:
    """A picture with some structure, encoded."""
    gradient = np.linspace(0, 255, size[0] * size[1] * 4).reshape(size[1], size[0], 4).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(gradient, "RGBA").convert(mode).save(file, image_format)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def touch(root, *names):
    """Make empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root, **options):
    """What is found below a folder, as text."""
    return [path.relative_to(root).as_posix() for path in find_pictures(root, **options)]


def test_pictures_of_a_tree_are_sorted_by_their_path(tmp_path):
    touch(tmp_path, "b/2.jpg", "b/10.jpg", "a.png", "B/1.gif", "c/d/e.bmp")
    assert found(tmp_path) == ["B/1.gif", "a.png", "b/10.jpg", "b/2.jpg", "c/d/e.bmp"]


@pytest.mark.parametrize("extension", [*PICTURE_EXTENSIONS, ".JPG", ".Png", ".TIFF"])
def test_every_known_extension_counts_in_any_case(tmp_path, extension):
    touch(tmp_path, f"picture{extension}")
    assert found(tmp_path) == [f"picture{extension}"]


def test_other_files_and_hidden_ones_are_left_out(tmp_path):
    touch(tmp_path, "a.jpg", "notes.txt", "pack.iq", "noextension", "._a.jpg", ".trash/b.jpg")
    (tmp_path / "folder.jpg").mkdir()
    assert found(tmp_path) == ["a.jpg"]


def test_a_single_picture_is_its_own_source(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg")
    assert find_pictures(tmp_path / "b.jpg") == (tmp_path / "b.jpg",)


def test_excluded_folders_are_left_out_however_they_are_spelt(tmp_path):
    touch(tmp_path, "a.jpg", "results/a.jpg", "results/deep/b.jpg", "other/c.jpg")
    assert found(tmp_path, exclude=[tmp_path / "other" / ".." / "results"]) == ["a.jpg", "other/c.jpg"]


def test_links_to_folders_are_not_followed(tmp_path):
    touch(tmp_path, "inside/a.jpg", "outside/b.jpg")
    (tmp_path / "inside" / "link").symlink_to(tmp_path / "outside")
    assert found(tmp_path / "inside") == ["a.jpg"]


def test_a_pipe_named_like_a_picture_is_no_picture(tmp_path):
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    assert found(tmp_path) == ["a.jpg"]


def test_a_source_without_pictures_is_named_with_the_extensions(tmp_path):
    touch(tmp_path, "pack.iq")
    for source in (tmp_path, tmp_path / "pack.iq"):
        with pytest.raises(NoPicturesError, match=str(source)) as failure:
            find_pictures(source)
        assert ".tiff" in failure.value.hint


def test_a_missing_source_is_named(tmp_path):
    with pytest.raises(NoPicturesError, match="no file or folder"):
        find_pictures(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    touch(tmp_path, "a.jpg")
    # Rights alone would not do: the superuser may list every folder.
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match=f"{tmp_path}: Permission denied"):
        find_pictures(tmp_path)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_every_format_gives_square_rgb_pixels(image_format):
    pixels = decode_picture(encoded(image_format), 16)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "1", "I;16"])
def test_every_colour_mode_becomes_rgb(mode):
    assert decode_picture(encoded("PNG", mode=mode), 8).shape == (8, 8, 3)


def test_pixels_are_those_of_a_bilinear_resize_without_regard_to_aspect():
    content = encoded("PNG", size=(64, 20))
    with Image.open(io.BytesIO(content)) as picture:
        expected = picture.convert("RGB").resize((24, 24), Image.Resampling.BILINEAR)
    assert np.array_equal(decode_picture(content, 24), np.asarray(expected))


@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")
def test_a_palette_with_transparency_keeps_its_colours():
    content = encoded("PNG", mode="P")
    with Image.open(io.BytesIO(content)) as picture:
        assert "transparency" in picture.info
        assert np.array_equal(np.asarray(open_picture(content)), np.asarray(picture.convert("RGB")))


def test_a_path_and_its_content_decode_alike(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded("JPEG"))
    assert np.array_equal(decode_picture(path, 16), decode_picture(path.read_bytes(), 16))


def test_content_decides_over_the_extension(tmp_path):
    path = tmp_path / "matlab.jpg"
    path.write_bytes(encoded("PNG"))
    assert open_picture(path).size == (40, 30)


def test_a_huge_picture_is_refused_by_its_header():
    with pytest.raises(UnreadablePictureError, match="60000"):
        open_picture(png_header(60_000, 60_000))


@pytest.mark.parametrize("side", [9_000, 10_000])
def test_the_limit_holds_below_the_one_of_the_decoder_too(side):
    assert side * side > MAX_PICTURE_PIXELS
    with pytest.raises(UnreadablePictureError, match="pixels"):
        open_picture(png_header(side, side))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_a_truncated_picture_is_unreadable(image_format):
    content = encoded(image_format)
    with pytest.raises(UnreadablePictureError):
        decode_picture(content[: len(content) // 2], 16)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "BMP", "TIFF"])
def test_corrupted_content_decodes_or_is_unreadable_and_nothing_else(image_format):
    rng = np.random.default_rng(5)
    content = encoded(image_format)
    for _ in range(150):
        damaged = bytearray(content)
        for position in rng.integers(len(content), size=6):
            damaged[position] = rng.integers(256)
        with contextlib.suppress(UnreadablePictureError):
            assert decode_picture(bytes(damaged), 8).shape == (8, 8, 3)


@pytest.mark.parametrize("content", [b"", b"GARBAGE" * 100, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"<svg/>"])
def test_what_is_none_of_the_formats_is_unreadable(content):
    with pytest.raises(UnreadablePictureError, match="none of JPEG, PNG"):
        open_picture(content)


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"nothing")
    with pytest.raises(UnreadablePictureError, match=r"broken\.png"):
        decode_picture(tmp_path / "broken.png", 8)


def test_a_file_that_has_gone_is_unreadable(tmp_path):
    with pytest.raises(UnreadablePictureError, match=r"gone\.png"):
        decode_picture(tmp_path / "gone.png", 8)
