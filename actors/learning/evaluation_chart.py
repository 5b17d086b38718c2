"""Draws figures over the ratio of signal to noise.

Owns the look of the chart. Drawn with Pillow: importing matplotlib costs half a second and 50 MB in every evaluation. It
knows nothing of networks and must not import torch.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from PIL import Image, ImageDraw, ImageFont

_SIZE: Final = (900, 520)
#: The plot's edges in pixels: left, top, right, bottom. Files as they are have a column of their own, right of it.
_PLOT: Final = (70, 60, 760, 450)
_CLEAN_X: Final = 825
_INK, _PAPER, _GRID = (26, 32, 44), (255, 255, 255), (226, 232, 240)
_COLOURS: Final = ((23, 86, 158), (200, 90, 20))
_FONT_SIZE: Final = 15
_DOT: Final = 4
#: Labels below the plot; more would run into each other.
_MOST_LABELS: Final = 11


@dataclass(frozen=True, slots=True)
class Curve:
    """A named figure in percent at each ratio; None where there is none."""

    name: str
    values: tuple[float | None, ...]


def curves_png(ratios: Sequence[float | None], curves: Sequence[Curve]) -> bytes:
    """Draw some figures, at most two.

    Args:
        ratios: In dB and rising, but for a None: the files as they are, which are drawn apart from the others.
        curves: With a value for each ratio.
    """
    picture = Image.new("RGB", _SIZE, _PAPER)
    draw = ImageDraw.Draw(picture)
    _draw_frame(draw, [ratio for ratio in ratios if ratio is not None])
    for number, curve in enumerate(curves):
        colour = _COLOURS[number]
        _draw_curve(draw, list(_points(ratios, curve)), colour)
        _text(draw, (_PLOT[0] + 220 * number, 22), curve.name, anchor="lm", colour=colour)
    encoded = io.BytesIO()
    picture.save(encoded, format="PNG")
    return encoded.getvalue()


def _draw_frame(draw: ImageDraw.ImageDraw, ratios: Sequence[float]) -> None:
    """Draw the grid with its labels."""
    left, _, right, bottom = _PLOT
    for percent in range(0, 101, 20):
        y = _height_of(percent)
        draw.line((left, y, right, y), fill=_GRID)
        _text(draw, (left - 10, y), str(percent), anchor="rm")
    every = -(-len(ratios) // _MOST_LABELS)
    for ratio in ratios[:: every or 1]:
        _text(draw, (_place_of(ratio, ratios), bottom + 18), f"{ratio:g}", anchor="mm")
    _text(draw, ((left + right) / 2, bottom + 45), "signal to noise in dB", anchor="mm")
    _text(draw, (_CLEAN_X, bottom + 18), "as recorded", anchor="mm")


def _points(ratios: Sequence[float | None], curve: Curve) -> Iterator[tuple[float, float]]:
    """Give the places of a curve's values; those of the files as they are come out like others."""
    known = [ratio for ratio in ratios if ratio is not None]
    for ratio, value in zip(ratios, curve.values, strict=True):
        if value is not None:
            yield (_CLEAN_X if ratio is None else _place_of(ratio, known)), _height_of(value)


def _draw_curve(draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: tuple[int, int, int]) -> None:
    """Join the points within the plot, and mark every one."""
    for begin, end in pairwise(point for point in points if point[0] != _CLEAN_X):
        draw.line((*begin, *end), fill=colour, width=3)
    for x, y in points:
        draw.ellipse((x - _DOT, y - _DOT, x + _DOT, y + _DOT), fill=colour)


def _place_of(ratio: float, ratios: Sequence[float]) -> float:
    """Map a ratio to the plot's width; a single one stands in the middle."""
    left, _, right, _ = _PLOT
    low, high = min(ratios), max(ratios)
    return (left + right) / 2 if low == high else left + (ratio - low) / (high - low) * (right - left)


def _height_of(percent: float) -> float:
    _, top, _, bottom = _PLOT
    return bottom - percent / 100 * (bottom - top)


def _text(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, *, anchor: str, colour: tuple[int, int, int] = _INK
) -> None:
    draw.text(place, text, fill=colour, font=ImageFont.load_default(_FONT_SIZE), anchor=anchor)
