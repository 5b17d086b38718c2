"""What the exit codes of ``rfuav`` mean, in one place. Knows no command."""

from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """How a command ended, for scripts."""

    OK = 0
    NOT_UP = 1
    BAD_INPUT = 2
    REFUSED = 3
    TASK_FAILED = 4
    TASK_CANCELLED = 5
    NOT_FOUND = 6
    CONFLICT = 7
    BUSY = 75
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What it tells, in a few words."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    ExitCode.OK: "success",
    ExitCode.NOT_UP: "the service is not up, does not answer, answers with an error of its own or is not healthy; the books differ; "
    "a check of `doctor` failed",
    ExitCode.BAD_INPUT: "an option, a field, a path or a file cannot be used",
    ExitCode.REFUSED: "the key is missing, wrong, or of a role that may not; the path lies outside the data roots",
    ExitCode.TASK_FAILED: "the task that was followed failed, or a file could not be predicted",
    ExitCode.TASK_CANCELLED: "the task that was followed was cancelled",
    ExitCode.NOT_FOUND: "there is no such task, batch, model or file, or it is not in the state that this needs",
    ExitCode.CONFLICT: "it contradicts what is there: an id in use, a device that does not exist, an alias that moved",
    ExitCode.BUSY: "the service is full or starting; try again later",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C; a task that was followed goes on",
}

#: For the end of ``rfuav --help``; empty lines keep the codes apart there.
EPILOG: Final = "\n\n".join(["Exit codes:", *(f"{code.value}  {code.meaning}" for code in ExitCode)])
