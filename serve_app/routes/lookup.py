"""Finding the task that a path names."""

from actors.core.errors import TaskNotFoundError
from actors.core.model import WorkKind
from actors.core.tasks import Task
from serve_app.context import Service
from serve_app.schemas.fields import is_task_id


async def find_task(service: Service, task_id: str, work: WorkKind | None = None, *, task_type: str = "") -> Task:
    """The task with this id, of this kind of work and this type where they are given.

    Raises:
        TaskNotFoundError: there is none, or it is of another kind or type.
    """
    require_task_id(task_id)
    task = await service.ports.tasks.get(task_id)
    is_other = work is not None and task.submission.work is not work
    if is_other or task.submission.task_type != (task_type or task.submission.task_type):
        raise TaskNotFoundError(task_id)
    return task


def require_task_id(task_id: str) -> None:
    """Refuse what no task can be called, before anybody is asked. Raises TaskNotFoundError."""
    if not is_task_id(task_id):
        raise TaskNotFoundError(task_id[:128])
