"""The errors of learning, in the family of ``files.errors``.

WorkError
├── ConfigError                 config_invalid
├── DatasetError                dataset_invalid
│   ├── UnreadablePictureError  unreadable_picture
│   └── UnusableRecordingError  unusable_recording
├── WeightsError                weights_invalid
│   ├── WeightsNotFoundError    weights_not_found
│   ├── WeightsUnreadableError  weights_unreadable
│   └── WeightsMismatchError    weights_mismatch
├── CheckpointError             checkpoint_invalid
├── CheckpointUnavailableError  checkpoint_unavailable
├── ModelCardError              model_card_invalid
├── TrainingDivergedError       training_diverged
├── GpuOutOfMemoryError         gpu_out_of_memory
└── RankLostError               rank_lost
"""

from typing import Final

from actors.files.errors import DatasetError, WorkError

#: The code of a rank that lost another one: an effect, whose cause the other one tells.
RANK_LOST: Final = "rank_lost"


class ConfigError(WorkError):
    """A model name, an image size or a configuration file that cannot be used."""

    code = "config_invalid"


class UnreadablePictureError(DatasetError):
    """One or more pictures that cannot be decoded."""

    code = "unreadable_picture"


class UnusableRecordingError(DatasetError):
    """One or more recordings that no frames can be made of."""

    code = "unusable_recording"


class WeightsError(WorkError):
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


class CheckpointError(WorkError):
    """A resume state that is damaged, of another format version or of another training."""

    code = "checkpoint_invalid"


class CheckpointUnavailableError(WorkError):
    """A resume state that the machine could not read just now: nothing speaks against the file itself."""

    code = "checkpoint_unavailable"


class ModelCardError(WorkError):
    """A model card that is damaged, incomplete or of a newer format version."""

    code = "model_card_invalid"


class TrainingDivergedError(WorkError):
    """A loss that is no number any more: the weights of that moment are worthless."""

    code = "training_diverged"


class GpuOutOfMemoryError(WorkError):
    """The GPU memory that the attempt may use did not suffice."""

    code = "gpu_out_of_memory"


class RankLostError(WorkError):
    """Another rank of the same training ended, or did not answer for longer than the plan allows."""

    code = RANK_LOST
