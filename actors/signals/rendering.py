"""Draws spectrograms for people: a PNG with axes of time and frequency and a bar that tells the colours' decibels.

Owns the layout, with a strip above the spectrogram for what was found when. It takes decibels as the engine measures them,
must not import torch, and needs no more than Pillow.
"""

import colorsys
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from actors.signals.colours import STEPS, jet
from actors.signals.lettering import choose_font, load_font

_LEFT: Final = 80
_RIGHT: Final = 110
_TOP: Final = 34
_BOTTOM: Final = 46
#: Between the title and the spectrogram, where there are segments.
_STRIP: Final = 20
_BAR_GAP: Final = 16
_BAR_WIDTH: Final = 16
_TICK: Final = 5
_TEXT_SIZE: Final = 12
_INK: Final = (30, 30, 30)


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What the edges of a spectrogram stand for."""

    start_s: float
    duration_s: float
    centre_hz: float
    sample_rate: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time with its name."""

    start_s: float
    end_s: float
    text: str


def render_png(
    decibels: NDArray[np.float32],
    axes: Axes,
    *,
    span_db: tuple[float, float] | None = None,
    segments: Sequence[Segment] = (),
) -> bytes:
    """Draw a spectrogram with axes.

    Args:
        decibels: (height, width), one value for a pixel, the highest frequency on top.
        axes: What the edges stand for.
        span_db: What the darkest and the brightest colour stand for; by default what is between the 1st percentile and the
            greatest value.
        segments: What is named in a strip above the spectrogram; equal names have equal colours.

    Returns:
        The PNG's bytes.
    """
    low, high = span_db or _usual_span(decibels)
    height, width = decibels.shape
    top = _TOP + (_STRIP if segments else 0)
    canvas = Image.new("RGB", (_LEFT + width + _RIGHT, top + height + _BOTTOM), "white")
    canvas.paste(Image.fromarray(jet()[_steps_of(decibels, (low, high))]), (_LEFT, top))
    bar = np.linspace(STEPS - 1, 0, height).astype(np.uint8)[:, None].repeat(_BAR_WIDTH, axis=1)
    canvas.paste(Image.fromarray(jet()[bar]), (_LEFT + width + _BAR_GAP, top))
    draw = ImageDraw.Draw(canvas)
    _draw_axes(draw, (_LEFT, top, _LEFT + width, top + height), axes, (low, high))
    for segment in segments:
        _draw_segment(draw, segment, axes, width)
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG")
    return buffer.getvalue()


def render_plain_png(decibels: NDArray[np.float32]) -> bytes:
    """Draw a spectrogram alone, for those who know what its edges stand for: each value a pixel, the highest frequency on top."""
    picture = Image.fromarray(_steps_of(decibels, _usual_span(decibels)))
    picture.putpalette(jet().tobytes())  # a byte for each pixel: a third of what colours take
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _steps_of(decibels: NDArray[np.float32], span: tuple[float, float]) -> NDArray[np.uint8]:
    """Tell each level's place among the colours."""
    low, high = span
    steps: NDArray[np.float32] = (np.nan_to_num(decibels, neginf=low) - low) / (high - low) * STEPS
    return np.clip(steps, 0, STEPS - 1).astype(np.uint8)


def _usual_span(decibels: NDArray[np.float32]) -> tuple[float, float]:
    """Choose the colours' ends from the values that are there."""
    finite = decibels[np.isfinite(decibels)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(np.percentile(finite, 1)), float(finite.max())
    return low, max(high, low + 1.0)


def _draw_segment(draw: ImageDraw.ImageDraw, segment: Segment, axes: Axes, width: int) -> None:
    """Draw a coloured box over the time of a segment, with as much of its name as fits."""
    left, right = (_LEFT + width * (at - axes.start_s) / axes.duration_s for at in (segment.start_s, segment.end_s))
    right = max(left, min(right, _LEFT + width) - 1)
    draw.rectangle((left, _TOP, right, _TOP + _STRIP - 4), fill=_colour_of(segment.text))
    name, text = choose_font(segment.text)
    font = load_font(name, _TEXT_SIZE)
    while text and font.getlength(text) > right - left - 2:
        text = text[:-1]
    draw.text((left + 2, _TOP + 1), text, fill=_INK, font=font)


def _colour_of(text: str) -> tuple[int, int, int]:
    """Choose a light colour for a name, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb(zlib.crc32(text.encode()) % 360 / 360, 0.35, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_axes(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], axes: Axes, span: tuple[float, float]) -> None:
    """Draw frame, ticks, their numbers and what they count."""
    _, top, right, bottom = box
    width, height = right - _LEFT, bottom - top
    font_name, title = choose_font(axes.title)
    font = load_font(None, _TEXT_SIZE)
    draw.rectangle((_LEFT - 1, top - 1, right, bottom), outline=_INK)
    time_unit, time_name = _unit(axes.duration_s, {1.0: "s", 1e-3: "ms", 1e-6: "us"})
    rate_unit, rate_name = _unit(axes.sample_rate, {1e6: "MHz", 1e3: "kHz", 1.0: "Hz"})
    for value, part in _ticks(axes.start_s / time_unit, axes.duration_s / time_unit, width // 90):
        x = _LEFT + part * width
        draw.line((x, bottom, x, bottom + _TICK), fill=_INK)
        draw.text((x, bottom + _TICK + 2), value, fill=_INK, font=font, anchor="mt")
    lowest = (axes.centre_hz - axes.sample_rate / 2) / rate_unit
    for value, part in _ticks(lowest, axes.sample_rate / rate_unit, height // 40):
        y = bottom - part * height
        draw.line((_LEFT - 1 - _TICK, y, _LEFT - 1, y), fill=_INK)
        draw.text((_LEFT - _TICK - 4, y), value, fill=_INK, font=font, anchor="rm")
    bar = right + _BAR_GAP + _BAR_WIDTH
    for value, part in _ticks(span[0], span[1] - span[0], height // 40):
        y = bottom - part * height
        draw.line((bar, y, bar + _TICK, y), fill=_INK)
        draw.text((bar + _TICK + 3, y), value, fill=_INK, font=font, anchor="lm")
    draw.text((_LEFT + width / 2, bottom + 26), f"time ({time_name})", fill=_INK, font=font, anchor="mt")
    draw.text((8, 8), f"frequency ({rate_name})", fill=_INK, font=font)
    draw.text((bar + _TICK + 3, 8), "dB", fill=_INK, font=font)
    draw.text((_LEFT + width / 2, 8), title, fill=_INK, font=load_font(font_name, _TEXT_SIZE), anchor="mt")


def _unit(amount: float, units: dict[float, str]) -> tuple[float, str]:
    """Choose the largest unit that an amount has one of, or the smallest there is."""
    fitting = [unit for unit in units if unit <= amount] or [min(units)]
    return max(fitting), units[max(fitting)]


def _ticks(start: float, length: float, wanted: int) -> list[tuple[str, float]]:
    """Choose round numbers within a span: each as text, with its place in 0..1."""
    rough = length / max(wanted, 2)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough)
    digits = max(0, -math.floor(math.log10(step)))
    first = math.ceil(start / step - 1e-9)
    last = math.floor((start + length) / step + 1e-9)
    return [(f"{count * step:.{digits}f}", (count * step - start) / length) for count in range(first, last + 1)]
