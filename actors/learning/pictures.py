"""Finds picture files and turns them into what a network is fed.

Owns which files count as pictures, the guard against hostile ones, and the one way from an encoded picture to pixels:
training and prediction must share it, since a model only fits pictures made as those that it was trained on. It knows
nothing of networks and must not import torch.
"""

import io
import struct
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from actors.files.data_roots import ANYWHERE, DataRoots, OutsideRootsError
from actors.files.errors import DatasetError
from actors.files.trees import files_below
from actors.learning.errors import UnreadablePictureError

#: What a picture's file name may end in, in any case; how it is decoded depends on its content alone.
PICTURE_EXTENSIONS: Final = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff")
#: Ten times the largest spectrogram in use, and below the size at which Pillow itself starts to warn.
MAX_PICTURE_PIXELS: Final = 80_000_000

#: Only these decoders run: some of Pillow's others (EPS) start programs.
_FORMATS: Final = ("JPEG", "PNG", "GIF", "BMP", "TIFF")
#: What Pillow raises on damaged or hostile content, found by cutting and corrupting files of every format.
_DECODING_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class NoPicturesError(DatasetError):
    """A source that holds nothing to predict on."""

    code = "no_pictures_found"


def find_pictures(source: Path, *, exclude: Collection[Path] = ()) -> tuple[Path, ...]:
    """List the pictures of a file or of a folder tree, sorted by their path within it.

    Hidden files and folders are left out, and links to folders are not followed.

    Args:
        source: A picture, or a folder.
        exclude: Folders to leave out, such as the one that results are written to.

    Raises:
        NoPicturesError: There is no picture, or no such file or folder.
        DatasetError: A folder in the tree cannot be listed.
    """
    if not source.exists():
        raise NoPicturesError(f"there is no file or folder {source}", "Check the path.")
    candidates = [source] if source.is_file() else list(files_below(source, {path.resolve() for path in exclude}))
    pictures = [path for path in candidates if path.suffix.lower() in PICTURE_EXTENSIONS and path.is_file()]
    if not pictures:
        hint = f"Give files that end in {', '.join(PICTURE_EXTENSIONS)}."
        raise NoPicturesError(f"there is no picture in {source}", hint)
    return tuple(sorted(pictures, key=lambda path: path.relative_to(source).as_posix()))


def open_picture(source: Path | bytes, *, roots: DataRoots = ANYWHERE) -> Image.Image:
    """Decode a picture at its own size, as RGB; transparency is dropped, and of several frames the first is taken.

    Raises:
        UnreadablePictureError: The content is no whole picture of a known format, or one of too many pixels; or the file
            is a link that leads out of ``roots``, or no regular file.
    """
    with guarded_picture(source, roots=roots) as picture:
        # Pillow warns of palettes with transparency, unless it may keep the latter for a moment; colours are the same.
        has_clear_colours = picture.mode == "P" and "transparency" in picture.info
        return (picture.convert("RGBA") if has_clear_colours else picture).convert("RGB")


@contextmanager
def guarded_picture(source: Path | bytes, *, roots: DataRoots = ANYWHERE) -> Iterator[Image.Image]:
    """Give a picture that is not decoded yet, and translate whatever its decoder says of hostile or damaged content.

    Raises:
        UnreadablePictureError: As ``open_picture``; also from within the context.
    """
    try:
        with _open_content(source, roots) as content, Image.open(content, formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PICTURE_PIXELS:
                raise _unreadable(source, f"{picture.width} x {picture.height} pixels are too many")
            yield picture
    except OutsideRootsError as error:
        raise _unreadable(source, "it is a link out of the data roots") from error
    except UnidentifiedImageError as error:
        raise _unreadable(source, f"its content is none of {', '.join(_FORMATS)}") from error
    except _DECODING_ERRORS as error:
        raise _unreadable(source, str(error) or type(error).__name__) from error


def decode_picture(source: Path | bytes, image_size: int, *, roots: DataRoots = ANYWHERE) -> NDArray[np.uint8]:
    """Decode a picture and resize it to a square, bilinearly and without regard to its aspect.

    Returns:
        Pixels of shape (image_size, image_size, 3), RGB.

    Raises:
        UnreadablePictureError: As ``open_picture``.
    """
    square = open_picture(source, roots=roots).resize((image_size, image_size), Image.Resampling.BILINEAR)
    # A copy of its own, which torch may take over without a warning; Pillow's memory is read-only.
    return np.array(square, dtype=np.uint8)


def _open_content(source: Path | bytes, roots: DataRoots) -> BinaryIO:
    return io.BytesIO(source) if isinstance(source, bytes) else roots.open(source)


def _unreadable(source: Path | bytes, reason: str) -> UnreadablePictureError:
    """Name the picture and the reason."""
    name = "the picture sent" if isinstance(source, bytes) else source
    return UnreadablePictureError(f"{name} cannot be decoded: {reason}", "Replace the file or leave it out.")
