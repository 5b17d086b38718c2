"""Brings one version from its files to a network that answers.

Owns the checks of a load: the weights are the registered ones, the answers are numbers, and they are the expected ones. Runs in a
thread that may take seconds; knows nothing of other versions.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actors.core.errors import ModelCheckError
from actors.files.errors import WorkError
from actors.learning.frame_renderer import join_inputs
from actors.learning.model_card import sha256_of
from actors.learning.predictor import PartedForward, Predictor
from actors.learning.zoo import build_model, load_weights
from actors.online.footprint import Footprint, bytes_of, working_bytes
from actors.online.golden import Golden, compare, expected_tolerance, read_golden
from actors.online.optimisation import Choice, choose_form, warm_up
from actors.registry.records import LoadReport, Precision, ServedVersion, ServingWish

_LOGGER: Final = logging.getLogger(__name__)
#: Pixels of shape (side, side, 3), or values in 0..1 of shape (3, side, side).
Input = NDArray[np.uint8] | Tensor
#: What a failed load raises beside its own errors: files that are damaged or gone, and networks that do not fit them.
_LOAD_FAILURES: Final = (WorkError, OSError, ValueError, TypeError, LookupError, RuntimeError)


@dataclass(frozen=True, slots=True)
class LoadTerms:
    """What holds for every load of an engine.

    Attributes:
        device: where versions serve.
        max_batch: most pictures of a forward pass.
        wish: what a version gets whose own wish leaves it open.
    """

    device: torch.device
    max_batch: int
    wish: ServingWish


class LoadedVersion:
    """A version that answers.

    Invariant: its weights had the registered hash, and it passed its check. ``forward`` is called by one thread.
    """

    def __init__(self, model: ServedVersion, predictor: Predictor, precision: Precision, *, limit: int) -> None:
        self.model = model
        self.predictor = predictor
        self.precision = precision
        self._forward = PartedForward(predictor, limit, warn=_LOGGER.warning)

    def forward(self, inputs: Sequence[Input]) -> NDArray[np.float32]:
        """Compute the probabilities of inputs of one kind, of shape (n, classes); in parts where memory does not do for all.

        Raises:
            GpuOutOfMemoryError: Not even a single picture fits.
            WeightsError: The network answers with no finite numbers.
        """
        tensors = [each for each in inputs if isinstance(each, Tensor)]
        return self._forward(join_inputs(tensors) if tensors else np.stack([np.asarray(each) for each in inputs]))


@dataclass(frozen=True, slots=True)
class Load:
    """What a load has made, and what there is to tell of it.

    ``expected`` are the answers to the golden inputs in float32 where nobody had told them yet.
    """

    version: LoadedVersion
    footprint: Footprint
    report: LoadReport
    expected: tuple[tuple[float, ...], ...] = ()


def load_version(model: ServedVersion, terms: LoadTerms) -> Load:
    """Load a version, choose its form, check it and warm it up.

    Raises:
        ModelCheckError: It cannot be loaded, or does not answer as it should.
        torch.OutOfMemoryError: It does not fit into the memory that is left.
    """
    try:
        return _load(replace(model, wish=_settle(model.wish, terms.wish)), terms)
    except torch.OutOfMemoryError:
        raise
    except _LOAD_FAILURES as error:
        _LOGGER.warning("%s cannot be loaded: %s", name_of(model), error)
        raise ModelCheckError(name_of(model), _told(error, model)) from error


def name_of(model: ServedVersion) -> str:
    """Name a version as requests do."""
    return f"{model.name}@{model.version}"


def _told(error: Exception, model: ServedVersion) -> str:
    """What a caller may read of a failed load: nothing of where the files lie."""
    if isinstance(error, OSError):
        return f"its stored weights cannot be read ({error.strerror}). Register the version anew."
    text = str(error).replace(model.weights_path, "its stored weights")
    if isinstance(error, WorkError) and not Path(model.weights_path).exists():
        return "its stored weights are gone. Register the version anew."
    return text


def _load(model: ServedVersion, terms: LoadTerms) -> Load:
    begun = time.perf_counter()
    network = build_model(model.architecture, len(model.class_names))
    _check_hash(model)
    load_weights(network, Path(model.weights_path), expected_classes=len(model.class_names))
    golden = read_golden(model)
    choice = choose_form(network, model, golden, terms.device)
    difference = _check_answers(model, choice, golden, terms.device)
    footprint = Footprint(_weights_bytes(network, choice), working_bytes(model, terms.max_batch))
    warm_up(choice.network, model.image_size, terms.max_batch, terms.device)
    predictor = Predictor(choice.network, model.class_names, image_size=model.image_size, device=terms.device)
    report = LoadReport(
        device_kind=terms.device.type,
        precision=choice.form.precision,
        optimised=choice.form.optimised,
        reason=choice.reason,
        largest_difference=difference,
        load_s=time.perf_counter() - begun,
        memory_bytes=footprint.weights_bytes + footprint.working_bytes,
        at=time.time(),
    )
    is_new = golden.is_stored and golden.expected is None
    expected = tuple(tuple(map(float, row)) for row in choice.reference) if is_new else ()
    return Load(LoadedVersion(model, predictor, choice.form.precision, limit=terms.max_batch), footprint, report, expected)


def _settle(own: ServingWish, usual: ServingWish) -> ServingWish:
    """Fill in what a version's own wish leaves open; optimising must be wished by both."""
    precision = usual.precision if own.precision is Precision.AUTO else own.precision
    return ServingWish(precision, own.optimise and usual.optimise)


def _check_hash(model: ServedVersion) -> None:
    """Refuse weights that are not those that were registered.

    Raises:
        ModelCheckError: They were changed on disk.
    """
    found = sha256_of(Path(model.weights_path))
    if found != model.weights_sha256:
        told = f"its stored weights were changed: its sha256 is {found[:12]}..., registered was {model.weights_sha256[:12]}..."
        raise ModelCheckError(name_of(model), f"{told} Register the version anew.")


def _check_answers(model: ServedVersion, choice: Choice, golden: Golden, device: torch.device) -> float:
    """Compare with the expected answers, else with those that will be expected from now on; returns the largest difference.

    Raises:
        ModelCheckError: They lie too far apart.
    """
    comparison = compare(choice.answers, choice.reference if golden.expected is None else golden.expected)
    tolerance = expected_tolerance(choice.form.precision, device)
    if golden.is_stored and not comparison.is_within(tolerance):
        reason = f"its answers to the golden inputs differ by {comparison.largest_difference:.2g} from the expected ones"
        raise ModelCheckError(name_of(model), f"{reason}; {tolerance:g} is allowed in {choice.form.precision}")
    return comparison.largest_difference


def _weights_bytes(network: torch.nn.Module, choice: Choice) -> int:
    """Count the weights in their form; a frozen graph does not tell them, but folding leaves nearly all as they were."""
    shrunk = 2 if choice.form.precision is Precision.BFLOAT16 else 1
    return bytes_of(network) // shrunk
