"""What can be wrong with recordings and recipes, in the family of ``files.errors``.

WorkError
└── SignalError                    recording_failed
    ├── NoRecordingsError          no_recordings_found
    ├── RecordingFormatError       recording_format (of a kind that is not read)
    ├── UnreadableRecordingError   unreadable_recording (missing, cut off, empty, no file)
    ├── RecordingMetadataError     recording_metadata (damaged, or at odds with the samples or with the request)
    ├── SampleRateError            sample_rate (unknown or impossible)
    ├── RecordingTooShortError     recording_too_short
    ├── BadSamplesError            bad_samples (not finite)
    ├── RecipeError                recipe_invalid
    ├── ResamplingError            resampling_refused
    └── SnrError                   snr_not_measurable
"""

from actors.files.errors import WorkError


class SignalError(WorkError):
    """A recording or a recipe that cannot be worked with; the subclass tells why, and the message names the file or the field."""

    code = "recording_failed"


class NoRecordingsError(SignalError):
    """A source that holds no recording."""

    code = "no_recordings_found"


class RecordingFormatError(SignalError):
    """A file of a kind that is not read, though it may be a good one."""

    code = "recording_format"


class UnreadableRecordingError(SignalError):
    """A file that is missing, cut off, empty, changed while being read, or no regular file within the data roots."""

    code = "unreadable_recording"


class RecordingMetadataError(SignalError):
    """What is said of a recording is damaged, or contradicts its samples or the request."""

    code = "recording_metadata"


class SampleRateError(SignalError):
    """A sample rate that nobody tells, or that cannot be one."""

    code = "sample_rate"


class RecordingTooShortError(SignalError):
    """Fewer samples than one frame, where nothing may be padded."""

    code = "recording_too_short"


class BadSamplesError(SignalError):
    """Samples that are no finite numbers."""

    code = "bad_samples"


class RecipeError(SignalError):
    """A recipe with a field that cannot be used, or one that this program does not know."""

    code = "recipe_invalid"


class ResamplingError(SignalError):
    """Samples at another rate than the recipe's that may not, or cannot sensibly, be brought to it."""

    code = "resampling_refused"


class SnrError(SignalError):
    """A signal-to-noise ratio that cannot be estimated or reached."""

    code = "snr_not_measurable"
