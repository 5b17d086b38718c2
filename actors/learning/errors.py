"""The errors of learning: what a user can have done wrong, and how to put it right.

Owns the hierarchy below. It knows nothing of HTTP or of tasks: whoever runs the work turns an error into
``{code, message, hint}``.

    LearningError
    ├── ConfigError                 config_invalid
    ├── DatasetError                dataset_invalid
    │   └── UnreadablePictureError  unreadable_picture
    ├── WeightsError                weights_invalid
    │   ├── WeightsNotFoundError    weights_not_found
    │   ├── WeightsUnreadableError  weights_unreadable
    │   └── WeightsMismatchError    weights_mismatch
    ├── CheckpointError             checkpoint_invalid
    ├── ModelCardError              model_card_invalid
    ├── OutputError                 output_not_writable
    │   └── DiskFullError           disk_full
    ├── TrainingDivergedError       training_diverged
    ├── GpuOutOfMemoryError         gpu_out_of_memory
    └── RankLostError               rank_lost
"""

from typing import ClassVar, Final

#: The code of a rank that lost another one: an effect, whose cause the other one tells.
RANK_LOST: Final = "rank_lost"


class LearningError(Exception):
    """A failure with a stable code, a sentence on what happened and one on what to do.

    The constructor's arguments go to ``Exception`` unchanged, so that instances survive pickling between processes.
    """

    code: ClassVar[str] = "learning_failed"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Join what happened and the remedy."""
        return f"{self.message} {self.hint}".strip()


class ConfigError(LearningError):
    """A model name, an image size or a configuration file that cannot be used."""

    code = "config_invalid"


class DatasetError(LearningError):
    """A dataset tree that cannot be trained on."""

    code = "dataset_invalid"


class UnreadablePictureError(DatasetError):
    """One or more pictures that cannot be decoded."""

    code = "unreadable_picture"


class WeightsError(LearningError):
    """A weights file that cannot be used; the subclass tells why."""

    code = "weights_invalid"


class WeightsNotFoundError(WeightsError):
    """A weights file that is not where it was looked for."""

    code = "weights_not_found"


class WeightsUnreadableError(WeightsError):
    """A file that is no plain state dict: damaged, of another format, or holding code."""

    code = "weights_unreadable"


class WeightsMismatchError(WeightsError):
    """A state dict of another architecture or of another number of classes."""

    code = "weights_mismatch"


class CheckpointError(LearningError):
    """A resume state that is damaged, of another format version or of another training."""

    code = "checkpoint_invalid"


class ModelCardError(LearningError):
    """A model card that is damaged, incomplete or of a newer format version."""

    code = "model_card_invalid"


class OutputError(LearningError):
    """A file that could not be written."""

    code = "output_not_writable"


class DiskFullError(OutputError):
    """No room was left for a file; what was there before is untouched."""

    code = "disk_full"


class TrainingDivergedError(LearningError):
    """A loss that is no number any more: the weights of that moment are worthless."""

    code = "training_diverged"


class GpuOutOfMemoryError(LearningError):
    """The GPU memory that the attempt may use did not suffice."""

    code = "gpu_out_of_memory"


class RankLostError(LearningError):
    """Another rank of the same training ended, or did not answer for longer than the plan allows."""

    code = RANK_LOST
