"""Brings samples to a recipe's rate with a polyphase filter; any part alone equals that of the whole.

Owns when that is refused. It must not import torch, and knows nothing of files.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from actors.signals.errors import ResamplingError
from actors.signals.recipe import RATE_TOLERANCE, Recipe

Samples = NDArray[np.complex64]

#: Rates further apart than this make no sense of each other: the picture would be nearly empty, or nearly all cut away.
_WIDEST_RATIO: Final = 64
#: The largest number of filter phases; 20 taps each.
_MOST_PHASES: Final = 4096


@dataclass(frozen=True, slots=True)
class Resampling:
    """A change of rate by ``up / down``; 1 / 1 where there is none."""

    source_rate: float
    target_rate: float
    up: int
    down: int

    @property
    def is_needed(self) -> bool:
        """Tell whether samples change at all."""
        return self.up != self.down

    def output_length(self, samples: int) -> int:
        """Tell how many samples come of so many."""
        return -(-samples * self.up // self.down)


def plan_resampling(sample_rate: float, recipe: Recipe) -> Resampling:
    """Decide how a recording of some rate is brought to the recipe's.

    Raises:
        ResamplingError: The rates differ and the recipe does not allow it, or they are too far apart or too odd.
    """
    source, target = float(sample_rate), float(recipe.sample_rate)
    if not math.isfinite(source) or source <= 0:
        raise ResamplingError(f"the sample rate is {sample_rate!r}", "Give the recording's samples per second, above 0.")
    if abs(source - target) <= RATE_TOLERANCE * target:
        return Resampling(source, target, 1, 1)
    told = f"the recording has {source:g} S/s, the recipe {target:g}"
    if not recipe.allow_resampling:
        raise ResamplingError(told, "Use a recording of that rate, or a recipe with allow_resampling.")
    if not 1 / _WIDEST_RATIO <= target / source <= _WIDEST_RATIO:
        raise ResamplingError(f"{told}: more than {_WIDEST_RATIO} times apart", "Use a recipe for such recordings.")
    ratio = (Fraction(target) / Fraction(source)).limit_denominator(_MOST_PHASES)
    if ratio.numerator > _MOST_PHASES or abs(float(ratio) * source / target - 1) > RATE_TOLERANCE:
        remedy = f"Use rates whose ratio is one of whole numbers up to {_MOST_PHASES}."
        raise ResamplingError(f"{told}: no ratio of small whole numbers", remedy)
    return Resampling(source, target, ratio.numerator, ratio.denominator)


def resample_part(read: Callable[[int, int], Samples], total: int, plan: Resampling, *, first: int, count: int) -> Samples:
    """Compute a part of what comes out, reading only the samples that it depends on.

    Args:
        read: Takes the first sample and how many.
        total: Samples that there are.
        plan: The change of rate.
        first: Of the samples that come out, the first wanted.
        count: How many are wanted; with ``first`` at most ``plan.output_length(total)``.
    """
    if not plan.is_needed:
        return read(first, count)
    reach = _reach(plan)
    # Pieces start at multiples of ``down``, where outputs fall on inputs.
    begin = max(0, first // plan.up * plan.down - reach)
    end = min(total, -(-(first + count) * plan.down // plan.up) + reach)
    whole = _polyphase(read(begin, end - begin), plan)
    skipped = first - begin * plan.up // plan.down
    part: Samples = whole[skipped : skipped + count].astype(np.complex64, copy=False)
    return part


def _polyphase(samples: Samples, plan: Resampling) -> Samples:
    """Resample a stretch by itself."""
    # Imported here: scipy takes a second, and those who only plan need none of it.
    from scipy import signal  # noqa: PLC0415

    whole: Samples = signal.resample_poly(samples, plan.up, plan.down, window=_filter(plan))
    return whole


@cache
def _filter(plan: Resampling) -> NDArray[np.float32]:
    """Design the low-pass at the lower of the two band edges, ten of its periods to both sides."""
    from scipy import signal  # noqa: PLC0415

    fastest = max(plan.up, plan.down)
    taps: NDArray[np.float64] = signal.firwin(20 * fastest + 1, 1 / fastest, window=("kaiser", 5.0))
    return taps.astype(np.float32)


def _reach(plan: Resampling) -> int:
    """Tell how many input samples the filter looks back and ahead, rounded up to whole steps of the output."""
    samples = 10 * max(plan.up, plan.down) // plan.up + 1
    return -(-samples // plan.down) * plan.down
