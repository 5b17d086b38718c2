"""What can go wrong in preprocessing beyond what every kind of work can meet (``files.errors``).

WorkError
├── OutputTakenError          output_taken
└── DatasetError
    ├── PictureFailedError    picture_failed (of one file; never ends a task)
    ├── AllFilesFailedError   all_files_failed
    └── RecordingError        recording_unknown
"""

from actors.files.errors import DatasetError, WorkError


class OutputTakenError(WorkError):
    """An output folder that holds something other than this run's own files."""

    code = "output_taken"


class PictureFailedError(DatasetError):
    """One file that cannot be worked on, although it may be a good picture."""

    code = "picture_failed"


class AllFilesFailedError(DatasetError):
    """Not one file could be worked on."""

    code = "all_files_failed"


class RecordingError(DatasetError):
    """A regular expression that does not tell the recording of every file, or takes too long to."""

    code = "recording_unknown"
