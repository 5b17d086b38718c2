"""What the events of the whole service mean: one model for each kind."""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter
from pydantic_core import from_json

from cluster.client.log_readers import raise_told_error
from cluster.client.streams import SentEvent
from serve_app.schemas.fields import ResponseModel
from serve_app.schemas.resources import ResourceResponse
from serve_app.schemas.tasks import TaskResponse


class TaskEvent(ResponseModel):
    """A task is new, or has changed."""

    kind: Literal["task"]
    task: TaskResponse


class TaskDeletedEvent(ResponseModel):
    """A task was forgotten."""

    kind: Literal["task_deleted"]
    task_id: str


class ResourcesEvent(ResponseModel):
    """The devices, as they are now."""

    kind: Literal["resources"]
    resources: ResourceResponse


class ModelsEvent(ResponseModel):
    """The table of models has changed."""

    kind: Literal["models"]
    revision: int


class ResetEvent(ResponseModel):
    """Something may be missing: read the lists again."""

    kind: Literal["reset"]


ServiceEvent = TaskEvent | TaskDeletedEvent | ResourcesEvent | ModelsEvent | ResetEvent

_EVENT: Final = TypeAdapter[ServiceEvent](Annotated[ServiceEvent, Field(discriminator="kind")])
_KINDS: Final = frozenset({"task", "task_deleted", "resources", "models", "reset"})


class EventReader:
    """Reads events; never over. Kinds that a newer service adds are left out."""

    is_over = False

    def read(self, event: SentEvent) -> list[ServiceEvent]:
        """The event, if it is of a kind that we know. Raises ApiError where the service tells of one."""
        told = from_json(event.data)
        raise_told_error(told)
        return [_EVENT.validate_python(told, extra="ignore")] if told.get("kind") in _KINDS else []
