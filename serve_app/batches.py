"""Submitting many tasks as one: all are accepted, or none stays.

The tasks go to the supervisor one by one, a few at a time. If one is refused, those accepted before it are ended and forgotten as far
as that is possible, and the error tells which source it was.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from actors.core.errors import RequestError, SubmissionError, TaskError
from actors.core.tasks import EndMode, Submission, Task
from serve_app.ports import NotReadyError, TasksPort

#: Calls under way at once: enough to hide the way to the supervisor, too few to keep others from it.
MOST_AT_ONCE = 8


async def submit_all(tasks: TasksPort, submissions: Sequence[Submission]) -> list[Task]:
    """Submit all, in order.

    Raises:
        SubmissionError, RequestError: of the first refused one, naming its source; nothing is left of the batch.
        NotReadyError: the supervisor stopped answering.
    """
    accepted: list[Task] = []
    for start in range(0, len(submissions), MOST_AT_ONCE):
        group = submissions[start : start + MOST_AT_ONCE]
        results = await asyncio.gather(*map(tasks.submit, group), return_exceptions=True)
        accepted += [result for result in results if isinstance(result, Task)]
        for index, result in enumerate(results, start):
            if isinstance(result, BaseException):
                await _withdraw(tasks, accepted)
                raise _name_source(index, result)
    return accepted


async def _withdraw(tasks: TasksPort, accepted: Sequence[Task]) -> None:
    """End and forget tasks; one that has just started ends by itself and stays as cancelled."""
    for task in accepted:
        with suppress(TaskError, NotReadyError):
            await tasks.end(task.task_id, EndMode.KILL)
        with suppress(TaskError, NotReadyError):
            await tasks.delete(task.task_id)


def _name_source(index: int, error: BaseException) -> BaseException:
    """The same error, saying which source it is about."""
    source = f"source_paths[{index}]"
    if isinstance(error, SubmissionError):
        field = source if error.field == "source_path" else error.field
        return SubmissionError(error.code, field, error.message, error.hint)
    if isinstance(error, RequestError):
        return type(error)(error.request_id, f"{source}: {error.reason}")
    return error
