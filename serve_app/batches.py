"""Many tasks as one: all are accepted or none stays, they are looked at together, and ended together.

The tasks go to the supervisor one by one, a few at a time. If one is refused, those accepted before it are ended and forgotten as far
as that is possible, and the error tells which source it was. A batch has no record of its own: it is there as long as one of its
tasks is.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus

from actors.core.errors import RequestError, SubmissionError, TaskError
from actors.core.tasks import EndMode, Submission, Task
from actors.messages import TaskQuery
from serve_app.http_errors import RequestRefusedError
from serve_app.ports import NotReadyError, TasksPort
from serve_app.schemas.fields import is_task_id
from serve_app.schemas.inference import MOST_SOURCES

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


async def find_batch(tasks: TasksPort, batch_id: str) -> list[Task]:
    """The tasks of a batch, in the order of its sources.

    Raises:
        RequestRefusedError: there is no such batch (404), or nothing is left of it.
        NotReadyError: the supervisor does not answer.
    """
    page = await tasks.list_page(TaskQuery(limit=MOST_SOURCES, batch_id=batch_id)) if is_task_id(batch_id) else None
    if page is None or not page.tasks:
        raise RequestRefusedError(HTTPStatus.NOT_FOUND, "batch_not_found", f"there is no batch {batch_id[:128]!r}")
    return sorted(page.tasks, key=lambda task: task.submission.batch_index)


async def cancel_batch(tasks: TasksPort, batch_id: str) -> list[str]:
    """End every task of a batch that has not ended; returns their ids.

    Raises:
        RequestRefusedError: there is no such batch, or all of it has ended (404, as for a single task).
        NotReadyError: the supervisor stopped answering; those before have been ended.
    """
    # The last in line first, so that the end of one does not let the next begin.
    unfinished = [task.task_id for task in reversed(await find_batch(tasks, batch_id)) if not task.state.is_final]
    ended: list[str] = []
    for start in range(0, len(unfinished), MOST_AT_ONCE):
        group = unfinished[start : start + MOST_AT_ONCE]
        results = await asyncio.gather(*(_end(tasks, task_id) for task_id in group))
        ended += [task_id for task_id, is_ended in zip(group, results, strict=True) if is_ended]
    if not ended:
        raise RequestRefusedError(HTTPStatus.NOT_FOUND, "batch_already_ended", f"all tasks of batch {batch_id!r} have ended")
    return ended[::-1]


async def _end(tasks: TasksPort, task_id: str) -> bool:
    """Whether the wish reached the task before its end."""
    try:
        await tasks.end(task_id, EndMode.CANCEL)
    except TaskError:
        return False
    return True


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
