"""The online engine: what a replica predicts with, without the replica.

Owns the course of an order: a version is chosen and kept, contents become inputs in threads, inputs become rows in batches, rows become
the answer. It knows nothing of Ray, of HTTP, or of other replicas.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from actors.core.errors import ActorSystemError, DeadlineExceededError, ModelCheckError, PredictionError, PredictionInputError
from actors.files.errors import DatasetError, WorkError
from actors.learning.device_failures import is_device_lost
from actors.learning.prediction_files import Prediction
from actors.messages import LoadedModel
from actors.online.answers import Answer, fail_unit, predict_unit, rows_of, sum_up
from actors.online.batcher import Batcher, Row
from actors.online.contents import Reader, Unit
from actors.online.footprint import expect_footprint
from actors.online.loaded import LoadedVersions, NoRoomError
from actors.online.loading import Input, Load, LoadedVersion, LoadTerms, load_version
from actors.online.orders import (
    PredictAnswer,
    PredictOrder,
    PrepareOrder,
    PrepareReport,
    SpectrogramPicture,
    TensorAnswer,
    TensorOrder,
)
from actors.online.spectrograms import RecordingPictures
from actors.registry.records import NoteLoad, Precision, ServedVersion, ServingWish
from actors.signals.errors import SignalError

_LOGGER: Final = logging.getLogger(__name__)
#: Batches of inputs of one order that may be on their way, so that one gathers while another is computed.
_BATCHES_AHEAD: Final = 2
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine may use, and what it does where a version's wish leaves it open.

    Attributes:
        device: "cpu" or "cuda:0".
        threads: of a forward pass on the CPU; pictures are decoded in as many, but at least two.
        budget_bytes: what all loaded versions may take together.
        max_batch: most pictures of one forward pass.
        batch_wait_s: how long an idle engine waits for a batch to fill.
        max_frames: most pictures and frames of one order.
        precision: of versions whose wish is AUTO.
        optimise: false: no version is optimised.
    """

    device: str
    threads: int
    budget_bytes: int
    max_batch: int
    batch_wait_s: float
    max_frames: int
    precision: Precision = Precision.AUTO
    optimise: bool = True


class OnlineEngine:
    """Predicts with versions that it loads as they are asked for.

    Invariant: all rows of an answer are of the version that the answer names. Its coroutines belong on one event loop.
    """

    def __init__(self, options: EngineOptions, *, replica_id: str, on_load: Callable[[NoteLoad], None]) -> None:
        """Start the threads; nothing is loaded yet.

        Args:
            options: what may be used.
            replica_id: how answers name the replica.
            on_load: hears of each load, from the thread that loads.
        """
        self._options = options
        self._replica_id = replica_id
        self._on_load = on_load
        self._device_id, self._simulated = options.device, False
        self._terms = LoadTerms(torch.device(options.device), options.max_batch, ServingWish(options.precision, options.optimise))
        self._readers = max(2, options.threads)
        self._reader = Reader(device=self._terms.device, threads=self._readers)
        self._loss = ""
        self._batcher = Batcher(
            threads=options.threads, max_batch=options.max_batch, wait_s=options.batch_wait_s, on_failure=self._note_failure
        )
        self._versions = LoadedVersions(
            self._load,
            expect=partial(expect_footprint, max_batch=options.max_batch),
            budget_bytes=options.budget_bytes,
            pause=self._batcher.pause,
        )

    def place(self, device_id: str, *, simulated: bool) -> None:
        """Tell how answers name the device from now on."""
        self._device_id, self._simulated = device_id, simulated

    async def predict(self, order: PredictOrder) -> PredictAnswer:
        """Predict files; cancelling drops what has not begun its forward pass.

        Raises:
            PredictionInputError: Nothing of what was sent can be predicted by this version.
            DeadlineExceededError: The answer would be late.
            ModelCheckError: The version cannot be loaded.
            PredictionError: The network failed.
        """
        deadline = _deadline_of(order.timeout_s)
        with self._told_to_caller():
            async with asyncio.timeout(order.timeout_s), self._versions.use(order.model, may_follow=order.may_follow) as version:
                answers, pictures = await self._answer(order, version, deadline)
        model = version.model
        return PredictAnswer(
            name=model.name,
            version=model.version,
            device=self._device_id,
            precision=version.precision,
            replica_id=self._replica_id,
            predictions=_require_some(answers),
            timing=sum_up(rows_of(answers), sum(answer.preprocess_s for answer in answers)),
            simulated=self._simulated,
            unknown_below=model.unknown_below,
            spectrograms=pictures,
        )

    async def infer(self, order: TensorOrder) -> TensorAnswer:
        """Compute the probabilities of a batch that is ready; else as ``predict``.

        Raises:
            PredictionInputError, DeadlineExceededError, ModelCheckError, PredictionError: As ``predict``.
        """
        deadline = _deadline_of(order.timeout_s)
        inputs = list(torch.from_numpy(np.require(order.inputs, np.float32, ["C", "W"])))
        with self._told_to_caller():
            async with asyncio.timeout(order.timeout_s), self._versions.use(order.model, may_follow=order.may_follow) as version:
                _check_inputs(order.inputs, version.model, self._options.max_frames)
                rows = await self._compute(version, inputs, deadline)
        probabilities = np.stack([row.probabilities for row in rows])
        return TensorAnswer(version.model.name, version.model.version, probabilities, sum_up(rows, 0.0))

    async def prepare(self, order: PrepareOrder) -> PrepareReport:
        """Load a version beside the one that it is to replace, and check it; a bad version is reported, not raised."""
        report = partial(PrepareReport, self._replica_id)
        may_free = order.only_replica == self._replica_id
        if order.only_replica and not may_free:
            return report("passed_over")
        try:
            return report("ready", load=await self._versions.prepare(order.model, order.instead_of, may_free=may_free))
        except NoRoomError as error:
            return report("no_room", error.reason)
        except ModelCheckError as error:
            return report("failed", error.reason)
        except Exception as error:
            _LOGGER.exception("a version could not be prepared", extra={"action": "prepare", "model": order.model.key})
            return report("failed", f"{type(error).__name__}: {error}")

    async def free(self, name: str, version: int) -> None:
        """Drop a version once all work with it has ended."""
        await self._versions.free((name, version))

    def loaded(self) -> tuple[LoadedModel, ...]:
        """Tell which versions are held, least recently used first."""
        return self._versions.loaded()

    def memory_bytes(self) -> int:
        """What they take together."""
        return self._versions.memory_bytes()

    def check_health(self) -> None:
        """Make sure that orders can be answered at all, which takes no time. Raises RuntimeError where only a new process can."""
        if self._loss:
            raise RuntimeError(f"the device is lost to this process: {self._loss}")
        self._batcher.check_health()

    def close(self) -> None:
        """End the threads; what is under way fails."""
        self._batcher.close()
        self._reader.close()
        self._versions.close()

    async def _answer(
        self, order: PredictOrder, version: LoadedVersion, deadline: float | None
    ) -> tuple[list[Answer], tuple[SpectrogramPicture, ...]]:
        """Answer all units of an order, a few ahead of the network, in their order; and draw its recordings, if that is wanted."""
        units = await self._reader.lay_out(version.model, order.contents, most=self._options.max_frames)
        pictures = RecordingPictures(units) if order.spectrogram else None
        reading = asyncio.Semaphore(self._readers)
        ahead = asyncio.Semaphore(_BATCHES_AHEAD * self._options.max_batch + self._readers)

        async def answer(unit: Unit) -> Answer:
            async with ahead:
                async with reading:
                    prepared = await self._reader.prepare(unit, version.model.image_size, pictures.add if pictures else None)
                if prepared.inputs is None:
                    return Answer(fail_unit(unit, prepared.error or ""), None, prepared.preprocess_s)
                (row,) = await self._compute(version, [prepared.inputs], deadline)
            threshold = version.model.unknown_below
            prediction = predict_unit(unit, row, version.predictor, top_k=order.top_k, unknown_below=threshold)
            return Answer(prediction, row, prepared.preprocess_s)

        answers = await _all_of(map(answer, units))
        return answers, await self._reader.draw(pictures.draw) if pictures else ()

    async def _compute(self, version: LoadedVersion, inputs: list[Input], deadline: float | None) -> list[Row]:
        """Wait for the rows of inputs; who stops waiting takes them out of the line."""
        return await _all_of(map(asyncio.wrap_future, self._batcher.submit(version, inputs, deadline=deadline)))

    def _load(self, model: ServedVersion) -> Load:
        """Load a version and tell of it, in the loading thread."""
        torch.set_num_threads(self._options.threads)
        try:
            load = load_version(model, self._terms)
        except ModelCheckError as error:
            self._note_failure(error.__cause__ or error)
            raise
        try:
            self._on_load(NoteLoad(model.name, model.version, load.report, load.expected))
        except Exception:
            # The version answers all the same; its card will lack this load.
            _LOGGER.exception("a load could not be noted", extra={"action": "note_load", "model": model.key})
        return load

    def _note_failure(self, error: BaseException) -> None:
        """Remember, from any thread, that the device is lost, if that is what an error says."""
        if is_device_lost(error):
            self._loss = self._loss or str(error).splitlines()[0]

    @contextmanager
    def _told_to_caller(self) -> Iterator[None]:
        """Give errors of the work as errors of the prediction, which the caller of a replica knows."""
        try:
            yield
        except TimeoutError as error:
            raise DeadlineExceededError("the answer is not ready in time; what had not begun was dropped") from error
        except ActorSystemError:
            raise
        except (DatasetError, SignalError) as error:
            raise PredictionInputError(str(error)) from error
        except WorkError as error:
            raise PredictionError(str(error)) from error
        except Exception as error:
            # Whatever a network or its device can raise; its text is for the log.
            self._note_failure(error)
            _LOGGER.exception("a prediction failed", extra={"action": "predict"})
            raise PredictionError(f"the network failed with {type(error).__name__}; the log of the replica tells more") from error


def _deadline_of(timeout_s: float | None) -> float | None:
    """Tell when an order that arrives now is late, on the monotonic clock."""
    return None if timeout_s is None else time.monotonic() + timeout_s


async def _all_of(wanted: Iterable[Awaitable[Result]]) -> list[Result]:
    """Wait for all; the first failure, or the caller's going away, cancels the others."""
    futures = [asyncio.ensure_future(each) for each in wanted]
    try:
        return await asyncio.gather(*futures)
    finally:
        for future in futures:
            future.cancel()


def _require_some(answers: list[Answer]) -> tuple[Prediction, ...]:
    """List the entries, of which one at least must have an answer.

    Raises:
        PredictionInputError: Nothing could be read.
    """
    predictions = tuple(answer.prediction for answer in answers)
    if all(prediction.error is not None for prediction in predictions):
        told = "there is nothing to predict" if not predictions else predictions[0].error
        raise PredictionInputError(f"nothing of what was sent can be predicted: {told}")
    return predictions


def _check_inputs(inputs: NDArray[np.float32], model: ServedVersion, most: int) -> None:
    """Refuse a batch that the network cannot take, or that would spoil the answers of those who share its pass.

    Raises:
        PredictionInputError: Its shape or its values do not fit.
    """
    shape = (3, model.image_size, model.image_size)
    if inputs.ndim != 4 or inputs.shape[1:] != shape or not len(inputs):
        raise PredictionInputError(f"the shape is {inputs.shape}; give (n, {', '.join(map(str, shape))})")
    if len(inputs) > most:
        raise PredictionInputError(f"{len(inputs)} pictures in one request; give at most {most} (max_predict_frames)")
    low, high = float(inputs.min()), float(inputs.max())
    if not (low >= 0.0 and high <= 1.0):
        raise PredictionInputError(f"values reach from {low:g} to {high:g}; give 0 to 1, as bytes divided by 255")
