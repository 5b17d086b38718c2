"""Golden inputs: pictures that a version must answer as it did when it was registered.

Owns the stored file, how two sets of answers are compared, and how far they may lie apart.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from actors.core.errors import ModelCheckError
from actors.registry.records import Precision, ServedVersion

Pixels = NDArray[np.uint8]
Probabilities = NDArray[np.float32]

#: How far probabilities of the optimised network may lie from those of the plain one, in float32 on one device.
SAME_DEVICE_TOLERANCE: Final = 1e-4
#: How far they may lie from the expected ones, which are exact whatever device has computed them, by what computes now.
EXPECTED_TOLERANCE: Final = 1e-3
#: GPUs round what convolutions multiply to 10 bits (TF32), as they do in training and in jobs.
CUDA_TOLERANCE: Final = 1e-2
#: bfloat16 keeps 8 bits of each value.
BFLOAT16_TOLERANCE: Final = 5e-2
#: Pictures of noise that take the place of golden inputs where none are stored.
_STAND_INS: Final = 2


@dataclass(frozen=True, slots=True)
class Golden:
    """Pictures of shape (n, image_size, image_size, 3), and what is expected for them where somebody has told.

    ``is_stored`` is false for pictures of noise: they show that a network still computes the same, but not what matters to it.
    """

    inputs: Pixels
    expected: Probabilities | None
    is_stored: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """How answers differ from others.

    Attributes:
        largest_difference: of two probabilities.
        keeps_best: whether each answer's best class is the same.
        worst_loss: how much less likely than the best one the others hold an answer's best class, at worst; 0 where it is the same.
    """

    largest_difference: float
    keeps_best: bool
    worst_loss: float

    def is_within(self, tolerance: float) -> bool:
        """Whether they agree: the same best class, but for ties closer than the tolerance, and no probability further away."""
        return max(self.largest_difference, self.worst_loss) <= tolerance


def compare(answers: Probabilities, expected: Probabilities) -> Comparison:
    """Compare probabilities of shape (n, classes)."""
    rows, best = np.arange(len(answers)), answers.argmax(axis=1)
    losses = expected.max(axis=1) - expected[rows, best]
    return Comparison(float(np.abs(answers - expected).max()), bool((best == expected.argmax(axis=1)).all()), float(losses.max()))


def expected_tolerance(precision: Precision, device: torch.device) -> float:
    """How far answers of a device in a precision may lie from the expected ones."""
    if precision is Precision.BFLOAT16:
        return BFLOAT16_TOLERANCE
    return CUDA_TOLERANCE if device.type == "cuda" else EXPECTED_TOLERANCE


def read_golden(model: ServedVersion) -> Golden:
    """Read a version's golden inputs, or make stand-ins where it has none.

    Raises:
        ModelCheckError: The file is missing or damaged, or does not fit the version.
    """
    shape = (model.image_size, model.image_size, 3)
    if not model.golden_path:
        noise = np.random.default_rng(0).integers(256, size=(_STAND_INS, *shape), dtype=np.uint8)
        return Golden(noise, None, is_stored=False)
    inputs = _read_inputs(model)
    if inputs.dtype != np.uint8 or inputs.shape[1:] != shape or not len(inputs):
        raise ModelCheckError(_name(model), f"golden inputs of {inputs.dtype} and shape {inputs.shape} do not fit {shape}")
    expected = np.asarray(model.golden_expected, np.float32) if model.golden_expected else None
    if expected is not None and expected.shape != (len(inputs), len(model.class_names)):
        raise ModelCheckError(_name(model), f"{expected.shape} expected answers do not fit {len(inputs)} golden inputs")
    return Golden(inputs, expected, is_stored=True)


def _read_inputs(model: ServedVersion) -> Pixels:
    try:
        with np.load(Path(model.golden_path), allow_pickle=False) as stored:
            inputs: Pixels = stored["inputs"]
            return inputs
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelCheckError(
            _name(model), f"its golden inputs cannot be read ({type(error).__name__}). Register the version anew."
        ) from error


def _name(model: ServedVersion) -> str:
    return f"{model.name}@{model.version}"
