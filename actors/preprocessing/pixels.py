"""Turns picture files into arrays and arrays into files of the same format.

Owns that a picture keeps its format, depth and transparency on the way through, and decodes behind the guard that all
pictures pass. A file's format is that of its content: pictures named .jpg that hold PNG data are common.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from actors.files.atomic import output_error
from actors.files.data_roots import ANYWHERE, DataRoots, OutsideRootsError
from actors.learning.errors import UnreadablePictureError
from actors.learning.pictures import guarded_picture
from actors.preprocessing.errors import PictureFailedError

#: Of shape (height, width) for greys, or (height, width, 3) in RGB order; uint8 or uint16.
Pixels = NDArray[Any]

#: What OpenCV names the encoders of Pillow's formats. For PNG its own settings (level 1, run lengths) are the fast ones:
#: naming a level turns to the slower general strategy.
_ENCODERS: Final = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tiff", "GIF": ".gif"}
_ENCODER_SETTINGS: Final = {"JPEG": [cv2.IMWRITE_JPEG_QUALITY, 95]}
#: What the colours of each of Pillow's modes are read as.
_READ_AS: Final = {"1": "L", "L": "L", "P": "RGB", "PA": "RGBA", "LA": "RGBA", "RGBA": "RGBA", "I;16": "I;16", "I;16B": "I;16"}
_UNSUPPORTED: Final = frozenset({"I", "F"})
_PNG_DEPTH_AT: Final = 24


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, its transparency apart: nothing that changes colours may touch that."""

    colours: Pixels
    #: Of shape (height, width), or None for a picture without.
    alpha: Pixels | None
    #: As Pillow calls it.
    format: str


def read_picture(path: Path, *, roots: DataRoots = ANYWHERE) -> Picture:
    """Decode a picture at its own size, depth and number of channels; of several frames the first is taken.

    Raises:
        UnreadablePictureError: It cannot be read, is a link that leads out of ``roots``, is no whole picture of a known
            format, or has too many pixels.
        PictureFailedError: Its pixels are of 32 bits.
    """
    try:
        with roots.open(path) as file:
            content = file.read()
    except OutsideRootsError as error:
        raise UnreadablePictureError(error.message, error.hint) from error
    except OSError as error:
        raise UnreadablePictureError(f"{path} cannot be read: {error.strerror}", "Check its rights.") from error
    try:
        with guarded_picture(content) as opened:
            return _decode(opened, content)
    except UnreadablePictureError as error:
        raise UnreadablePictureError(error.message.replace("the picture sent", str(path), 1), error.hint) from error


def write_picture(picture: Picture, target: Path) -> None:
    """Encode a picture in its own format.

    Raises:
        OutputError: The file cannot be written.
        PictureFailedError: The format cannot hold it.
    """
    colours = picture.colours
    if picture.alpha is not None:
        colours = np.dstack([colours, picture.alpha])
    if colours.ndim == 3:
        colours = cv2.cvtColor(colours, cv2.COLOR_RGBA2BGRA if colours.shape[2] == 4 else cv2.COLOR_RGB2BGR)
    try:
        is_encoded, content = cv2.imencode(_ENCODERS[picture.format], colours, _ENCODER_SETTINGS.get(picture.format, []))
    except cv2.error as error:
        raise PictureFailedError(f"{picture.format} cannot hold it: {error.err}", "Convert it to PNG.") from error
    if not is_encoded:
        raise PictureFailedError(f"{picture.format} cannot hold it", "Convert it to PNG.")
    try:
        target.write_bytes(content.tobytes())
    except OSError as error:
        raise output_error(target, error) from error


def cropped(picture: Picture, *, x: int, y: int, width: int, height: int) -> Picture:
    """Cut out a box, in pixels from the upper left corner.

    Raises:
        PictureFailedError: The box does not lie within the picture.
    """
    picture_height, picture_width = picture.colours.shape[:2]
    if x + width > picture_width or y + height > picture_height:
        problem = f"the box ({x}, {y}) to ({x + width}, {y + height}) leaves the picture of {picture_width} x {picture_height}"
        raise PictureFailedError(problem, "Give a box that lies within every picture.")
    box = (slice(y, y + height), slice(x, x + width))
    alpha = None if picture.alpha is None else picture.alpha[box]
    return Picture(np.ascontiguousarray(picture.colours[box]), alpha, picture.format)


def _decode(opened: Image.Image, content: bytes) -> Picture:
    """Decode what the guard let pass."""
    picture_format = opened.format or ""
    if opened.mode in _UNSUPPORTED:
        raise PictureFailedError(f"its pixels are of 32 bits (mode {opened.mode})", "Convert it to 8 or 16 bits.")
    if picture_format == "PNG" and content[_PNG_DEPTH_AT] == 16 and opened.mode in {"RGB", "RGBA", "LA"}:
        # Pillow proves that it is whole, but keeps 8 bits of each colour; OpenCV keeps 16.
        opened.load()
        return _decode_deep(content, picture_format)
    mode = "RGBA" if opened.mode == "P" and "transparency" in opened.info else _READ_AS.get(opened.mode, "RGB")
    pixels: Pixels = np.asarray(opened if opened.mode in {mode, "I;16B"} else opened.convert(mode))
    if mode == "I;16":
        return Picture(pixels.astype(np.uint16), None, picture_format)
    return _with_alpha_apart(pixels, picture_format)


def _decode_deep(content: bytes, picture_format: str) -> Picture:
    """Decode a PNG of 16 bits a colour."""
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise PictureFailedError("OpenCV cannot decode it", "Convert it to 8 bits.")
    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return _with_alpha_apart(pixels, picture_format)


def _with_alpha_apart(pixels: Pixels, picture_format: str) -> Picture:
    """Take the fourth channel, if there is one, for transparency."""
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        return Picture(np.ascontiguousarray(pixels[..., :3]), pixels[..., 3].copy(), picture_format)
    return Picture(pixels, None, picture_format)
