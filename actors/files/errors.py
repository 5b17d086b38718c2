"""The errors of work: what a user can have done wrong, and how to put it right.

Owns the base of the family and its members that every kind of work knows. It knows nothing of HTTP or of tasks: whoever
runs the work turns an error into ``{code, message, hint}``.

    WorkError
    ├── DatasetError                dataset_invalid
    ├── OutputError                 output_not_writable
    │   └── DiskFullError           disk_full
    ├── ...                         actors.learning.errors
    ├── OutputTakenError            actors.preprocessing.errors
    └── SignalError                 actors.signals.errors
"""

import re
from typing import ClassVar, Final

#: How Python holds what is no UTF-8 in the name of a file, which no log and no JSON can take.
_STRAY_BYTE: Final = re.compile("[\ud800-\udfff]")


def writable(text: str) -> str:
    """Give a text as UTF-8 can hold it: it may tell the name of a file, which may be any bytes."""
    return _STRAY_BYTE.sub("\N{REPLACEMENT CHARACTER}", text)


class WorkError(Exception):
    """A failure with a stable code, a sentence on what happened and one on what to do.

    The constructor's arguments go to ``Exception``, so that instances survive pickling between processes. Both sentences can be
    written as UTF-8, whatever the names of the files that they tell.
    """

    code: ClassVar[str] = "work_failed"

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = writable(message)
        self.hint = writable(hint)
        super().__init__(self.message, self.hint)

    def __str__(self) -> str:
        """Join what happened and the remedy."""
        return f"{self.message} {self.hint}".strip()


class DatasetError(WorkError):
    """Files that cannot be worked on as they lie there."""

    code = "dataset_invalid"


class OutputError(WorkError):
    """A file that could not be written."""

    code = "output_not_writable"


class DiskFullError(OutputError):
    """No room was left for a file; what was there before is untouched."""

    code = "disk_full"
