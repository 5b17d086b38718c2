"""Draws the answer onto a copy of the picture.

Owns the look of annotated pictures (red text near the upper left corner, as RFUAV draws it) and how they are named. It
knows nothing of networks and must not import torch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from PIL import Image, ImageDraw

from actors.files.atomic import output_error
from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.pictures import open_picture
from actors.signals.lettering import choose_font, load_font

_RED: Final = (255, 0, 0)
#: Offset of the text from the left and from the top, and its height, on a picture that has room for it.
_OFFSET: Final = 40
_TEXT_SIZE: Final = 45
#: Below this many pixels letters cannot be told apart; on a picture that small the text may be cut off.
_SMALLEST_TEXT_SIZE: Final = 7
_JPEG_QUALITY: Final = 95


def annotated_names(files: Iterable[PurePosixPath]) -> Mapping[PurePosixPath, PurePosixPath]:
    """Choose where each picture's annotated copy goes, so that no two share a place.

    A copy keeps its folder and base name and ends in ``.jpg``. Where pictures of one folder differ in their extension
    alone, those that are no ``.jpg`` keep it within the name: ``a.png`` becomes ``a.png.jpg``.
    """
    ordered = sorted(files)
    shared = Counter(file.with_suffix("") for file in ordered)
    names: dict[PurePosixPath, PurePosixPath] = {}
    taken: set[PurePosixPath] = set()
    for file in ordered:
        keeps_extension = shared[file.with_suffix("")] > 1 and file.suffix != ".jpg"
        wanted = file.with_name(f"{file.name}.jpg") if keeps_extension else file.with_suffix(".jpg")
        names[file] = _free_name(wanted, taken)
        taken.add(names[file])
    return names


def annotate_picture(source: Path, target: Path, class_name: str, confidence: float, *, roots: DataRoots = ANYWHERE) -> None:
    """Write a JPEG copy of a picture with ``<class> <confidence>%`` in red.

    Args:
        source: The picture, of any size.
        target: Where the copy goes; its folder must exist.
        class_name: Any text; letters that no font here can draw appear as their escapes.
        confidence: Percent.
        roots: Where the picture must lie, links followed.

    Raises:
        UnreadablePictureError: The picture cannot be decoded.
        OutputError: The copy cannot be written.
        DiskFullError: There is no room for it.
    """
    picture = open_picture(source, roots=roots)
    _draw_text(picture, class_name, confidence)
    try:
        picture.save(target, format="JPEG", quality=_JPEG_QUALITY)
    except OSError as error:
        raise output_error(target, error) from error


def _free_name(wanted: PurePosixPath, taken: set[PurePosixPath]) -> PurePosixPath:
    """Return the wanted name, or the first numbered one that is free."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = wanted.with_stem(f"{wanted.stem}_{number}")
    return name


def _draw_text(picture: Image.Image, class_name: str, confidence: float) -> None:
    """Draw the answer at its usual place and size, both shrunk by one factor where the picture is too small."""
    font_name, drawable_name = choose_font(class_name)
    text = f"{drawable_name} {confidence:.2f}%"
    draw = ImageDraw.Draw(picture)
    _, _, right, bottom = draw.textbbox((_OFFSET, _OFFSET), text, font=load_font(font_name, _TEXT_SIZE))
    # A little less than exact: glyphs do not shrink in proportion to the last pixel.
    factor = min(1.0, 0.97 * picture.width / right, 0.97 * picture.height / bottom)
    size = max(_SMALLEST_TEXT_SIZE, int(_TEXT_SIZE * factor))
    offset = int(_OFFSET * factor)
    draw.text((offset, offset), text, fill=_RED, font=load_font(font_name, size))
