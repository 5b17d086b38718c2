"""What can be wrong with a recipe, or with samples that a recipe is asked to turn into pictures.

LearningError
├── RecipeError         recipe_invalid
├── ShortSignalError    recording_too_short
├── ResamplingError     resampling_refused
└── SnrError            snr_not_measurable
"""

from actors.learning.errors import LearningError


class RecipeError(LearningError):
    """A recipe with a field that cannot be used, or one that this program does not know."""

    code = "recipe_invalid"


class ShortSignalError(LearningError):
    """Fewer samples than the recipe's frame, where the recipe refuses to pad."""

    code = "recording_too_short"


class ResamplingError(LearningError):
    """Samples at another rate than the recipe's that may not, or cannot sensibly, be brought to it."""

    code = "resampling_refused"


class SnrError(LearningError):
    """A signal-to-noise ratio that cannot be estimated or reached."""

    code = "snr_not_measurable"
