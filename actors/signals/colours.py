"""The colours of pictures: 256 steps of jet, and white for what is missing.

Owns the palette and nothing else.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

STEPS: Final = 256
#: Where ``jet_with_white`` keeps the colour of missing values.
MISSING: Final = STEPS

#: Corners of each channel's course over 0..1, as MATLAB's jet has become known by matplotlib.
_JET: Final = (
    ((0.0, 0.35, 0.66, 0.89, 1.0), (0.0, 0.0, 1.0, 1.0, 0.5)),
    ((0.0, 0.125, 0.375, 0.64, 0.91, 1.0), (0.0, 0.0, 1.0, 1.0, 0.0, 0.0)),
    ((0.0, 0.11, 0.34, 0.65, 1.0), (0.5, 1.0, 1.0, 0.0, 0.0)),
)


def jet() -> NDArray[np.uint8]:
    """Return jet's colours, of shape (256, 3), from the least value to the greatest."""
    steps = np.linspace(0.0, 1.0, STEPS)
    courses = [np.interp(steps, places, levels) for places, levels in _JET]
    # Cut off, not rounded: that is how matplotlib makes bytes of them.
    return (np.stack(courses, axis=1) * 255).astype(np.uint8)


def jet_with_white() -> NDArray[np.uint8]:
    """Return jet's colours and one more, white, of shape (257, 3)."""
    return np.concatenate([jet(), np.full((1, 3), 255, dtype=np.uint8)])
