"""What the attempts so far mean for their task: how it ends, and whether there is something to go on from."""

from collections.abc import Mapping
from typing import Final

from actors.core.model import WorkKind
from actors.core.tasks import OUT_OF_MEMORY, REDUCE_BATCH, EndMode, Task, TaskFault, TaskState

_SMALLER_WORK: Final = "see the task's log; if it was killed for memory, use a smaller batch_size or image_size"
#: What a user can do where attempts of a kind die again and again.
HINTS_AFTER_DEATH: Final[Mapping[WorkKind, str]] = {
    WorkKind.TRAINING: _SMALLER_WORK,
    WorkKind.INFERENCE: _SMALLER_WORK,
    WorkKind.PREPROCESSING: "see the task's log; the files that it finished stay, and the same request goes on behind them",
}
_OUTCOMES: Final[Mapping[str, TaskState]] = {"completed": TaskState.COMPLETED, "failed": TaskState.FAILED}


def smaller_batch(task: Task, fault: TaskFault | None) -> int:
    """Half the batch of a task that ran out of GPU memory and wants to go on with less; 0 where it ends instead."""
    request = task.request
    wants = fault is not None and fault.code == OUT_OF_MEMORY and request.get("on_oom") == REDUCE_BATCH
    return int(request["batch_size"]) // 2 if wants and task.ending is None else 0


def final_state(outcome: str, ending: EndMode | None) -> TaskState:
    """The end of a task whose attempt ended; what a user cancelled never becomes completed."""
    if ending is not None or outcome == "stopped":
        return TaskState.CANCELLED
    return _OUTCOMES[outcome]


def has_run(task: Task) -> bool:
    """Whether any attempt of a task held a device so far; else what lies in its folder under its id is a deleted task's."""
    return any(change.after is TaskState.RUNNING for change in task.history)


def is_wanted(task: Task | None) -> bool:
    """Whether the current attempt of a task is to begin, or go on: nobody has asked for its end, nor that it gives way."""
    return task is not None and task.ending is None and not task.is_pausing
