"""Turns the contents of an order into inputs of the network, in threads.

Owns the reading of pictures and recordings as training and jobs read them, and how many samples are in memory at once. Knows nothing of
networks or of batches.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from actors.core.errors import PredictionInputError
from actors.files.errors import WorkError
from actors.learning.frame_renderer import FrameRenderer
from actors.learning.pictures import decode_picture
from actors.online.loading import Input
from actors.online.orders import Content
from actors.registry.records import ServedVersion
from actors.signals.frames import RecordingFrames
from actors.signals.recipe import Recipe
from actors.signals.recording import open_recording

#: Bytes of samples that all threads together may hold; a single longer frame is read alone.
_SAMPLES_IN_MEMORY: Final = 640 << 20
#: Sizes of pictures for which what makes them of samples is kept.
_SIZES_KEPT: Final = 4
Made = TypeVar("Made")
#: Takes the levels of one frame of a recording, in dB.
TakeLevels = Callable[[RecordingFrames, int, NDArray[np.float32]], None]


@dataclass(frozen=True, slots=True)
class Unit:
    """What gets one answer: a picture, a frame of a recording, or a content that cannot be used, which ``error`` tells why.

    Attributes:
        content: what it is of.
        frames: the recording's; None for a picture.
        index: of the frame.
        error: why there is nothing to predict.
    """

    content: Content
    frames: RecordingFrames | None = None
    index: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """An input, or why there is none; and how long that took."""

    inputs: Input | None
    error: str | None
    preprocess_s: float


class Reader:
    """Reads contents for networks on one device; used from one event loop, which it never holds up."""

    def __init__(self, *, device: torch.device, threads: int) -> None:
        # Torch's own threads would meet after every small step of a spectrogram; here each frame has a thread of its own.
        self._pool = ThreadPoolExecutor(threads, "decode", initializer=torch.set_num_threads, initargs=(1,))
        self._samples = _Bytes(_SAMPLES_IN_MEMORY)
        self._renderer = lru_cache(_SIZES_KEPT)(lambda size: FrameRenderer(image_size=size, device=device))

    async def lay_out(self, model: ServedVersion, contents: tuple[Content, ...], *, most: int) -> list[Unit]:
        """List what gets an answer, in the order of the contents and of their frames.

        Raises:
            PredictionInputError: There are more pictures and frames than ``most``, or a recording where the model has no recipe.
        """
        recordings = [each for each in contents if each.kind == "recording"]
        _require_recipe(model, recordings)
        opened = dict(zip(map(id, recordings), [await self._run(partial(_open, model, each)) for each in recordings], strict=True))
        units: list[Unit] = []
        for content in contents:
            found = opened.get(id(content))
            count = len(found) if isinstance(found, RecordingFrames) else 1
            _require_few(len(units) + count, most)
            units += _units_of(content, found)
        return units

    async def prepare(self, unit: Unit, image_size: int, take_levels: TakeLevels | None = None) -> Prepared:
        """Make the input of one unit; what is wrong with its file is part of the answer.

        Args:
            unit: What to read.
            image_size: What the network takes.
            take_levels: Is given the levels of a frame, in the thread that measured them.

        Raises:
            GpuOutOfMemoryError: A frame does not fit into the device's memory.
        """
        if unit.error is not None:
            return Prepared(None, unit.error, 0.0)
        if unit.frames is None:
            return await self._run(partial(_decode, unit.content, image_size))
        async with self._samples.hold(unit.frames.reading_bytes):
            return await self._run(partial(_render, unit, unit.frames, self._renderer(image_size), take_levels))

    async def draw(self, make: Callable[[], Made]) -> Made:
        """Do what takes the processor a while in one of the threads."""
        return await self._run(make)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[[], Made]) -> Made:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class _Bytes:
    """Memory that is shared: whoever wants more than is left waits, but what is larger than all of it goes alone."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._held = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, amount: int) -> AsyncIterator[None]:
        """Wait for some, and hold it."""
        share = min(amount, self._total)
        async with self._freed:
            await self._freed.wait_for(lambda: self._held + share <= self._total)
            self._held += share
        try:
            yield
        finally:
            async with self._freed:
                self._held -= share
                self._freed.notify_all()


def _require_recipe(model: ServedVersion, recordings: list[Content]) -> None:
    if recordings and model.recipe is None:
        told = f"{recordings[0].file} is a recording, but {model.name}@{model.version} has no recipe to make pictures of it"
        raise PredictionInputError(f"{told}; send pictures, or register weights whose model card or configuration has a recipe")


def _require_few(count: int, most: int) -> None:
    if count > most:
        told = f"more than {most} pictures and frames in one request; the limit is max_predict_frames"
        raise PredictionInputError(f"{told}. Submit an inference job for so many (POST /api/v2/inference), or send fewer")


def _open(model: ServedVersion, content: Content) -> RecordingFrames | str:
    """Lay out a recording's frames by the model's recipe, or tell why that cannot be done."""
    if content.path is None:
        raise PredictionInputError(f"{content.file}: recordings are read from files, not from memory; give a path")
    try:
        recording = open_recording(
            content.path,
            sample_rate=content.sample_rate,
            center_frequency=content.center_frequency,
            datatype=content.datatype,
        )
        return RecordingFrames(recording, Recipe.of(model.recipe, sample_rate=recording.sample_rate))
    except WorkError as error:
        return _told(content, error)


def _units_of(content: Content, found: RecordingFrames | str | None) -> list[Unit]:
    if isinstance(found, RecordingFrames):
        return [Unit(content, found, index) for index in range(len(found))]
    return [Unit(content, error=found)]


def _decode(content: Content, image_size: int) -> Prepared:
    """Decode a picture."""
    begun = time.perf_counter()
    try:
        pixels = decode_picture(content.data if content.path is None else content.path, image_size)
    except WorkError as error:
        return Prepared(None, _told(content, error), time.perf_counter() - begun)
    return Prepared(pixels, None, time.perf_counter() - begun)


def _render(unit: Unit, frames: RecordingFrames, renderer: FrameRenderer, take_levels: TakeLevels | None) -> Prepared:
    """Read a frame and make its picture."""
    begun = time.perf_counter()
    try:
        samples = frames.read(unit.index)
    except WorkError as error:
        return Prepared(None, _told(unit.content, error), time.perf_counter() - begun)
    if take_levels is None:
        inputs = renderer.inputs(frames.recipe, samples)
    else:
        picture = renderer.with_decibels(frames.recipe, samples)
        inputs = picture.inputs
        take_levels(frames, unit.index, picture.decibels)
    return Prepared(inputs, None, time.perf_counter() - begun)


def _told(content: Content, error: WorkError) -> str:
    """Tell what is wrong with a file by the name that its sender knows, not by the place where it was put."""
    return str(error) if content.path is None else str(error).replace(str(content.path), content.file)
