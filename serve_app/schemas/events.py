"""What the stream of events tells, one object in each event."""

from typing import Annotated, Literal

from pydantic import Field, RootModel

from serve_app.schemas.fields import ResponseModel
from serve_app.schemas.resources import ResourceResponse
from serve_app.schemas.tasks import TaskResponse


class TaskEvent(ResponseModel):
    """A task is new, or has changed: its state, progress, figures, priority or place in the line. The newest state only."""

    kind: Literal["task"]
    task: TaskResponse


class TaskDeletedEvent(ResponseModel):
    """A task was deleted."""

    kind: Literal["task_deleted"]
    task_id: str


class ResourcesEvent(ResponseModel):
    """The devices: first at once, then when something about them has changed, at most once a second."""

    kind: Literal["resources"]
    resources: ResourceResponse


class ModelsEvent(ResponseModel):
    """The revision of the table of models: first at once, then with every change of any model."""

    kind: Literal["models"]
    revision: int


class ResetEvent(ResponseModel):
    """The position is not known, for the supervisor began anew or it is too long ago: read the lists again."""

    kind: Literal["reset"]


class Event(RootModel[TaskEvent | TaskDeletedEvent | ResourcesEvent | ModelsEvent | ResetEvent]):
    """What one event of the stream holds as data."""

    root: Annotated[TaskEvent | TaskDeletedEvent | ResourcesEvent | ModelsEvent | ResetEvent, Field(discriminator="kind")]
