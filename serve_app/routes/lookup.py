"""Finding the task that a path names."""

from actors.core.errors import TaskNotFoundError
from actors.core.model import WorkKind
from actors.core.tasks import Task
from serve_app.context import Service
from serve_app.schemas.fields import is_task_id


async def find_task(service: Service, task_id: str, work: WorkKind | None = None) -> Task:
    """The task with this id, of this kind of work where one is given.

    Raises:
        TaskNotFoundError: there is none, or it is of another kind.
    """
    require_task_id(task_id)
    task = await service.ports.tasks.get(task_id)
    if work is not None and task.submission.work is not work:
        raise TaskNotFoundError(task_id)
    return task


def require_task_id(task_id: str) -> None:
    """Refuse what no task can be called, before anybody is asked. Raises TaskNotFoundError."""
    if not is_task_id(task_id):
        raise TaskNotFoundError(task_id[:128])
