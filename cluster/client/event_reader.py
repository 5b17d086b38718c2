"""What the events of the whole service mean."""

from pydantic_core import from_json

from cluster.client.log_readers import raise_told_error
from cluster.client.streams import SentEvent
from serve_app.schemas.events import Event, ModelsEvent, ResetEvent, ResourcesEvent, TaskDeletedEvent, TaskEvent

ServiceEvent = TaskEvent | TaskDeletedEvent | ResourcesEvent | ModelsEvent | ResetEvent

_KINDS = frozenset({"task", "task_deleted", "resources", "models", "reset"})


class EventReader:
    """Reads events; never over. Kinds that a newer service adds are left out."""

    is_over = False

    def read(self, event: SentEvent) -> list[ServiceEvent]:
        """The event, if it is of a kind that we know. Raises ApiError where the service tells of one."""
        told = from_json(event.data)
        raise_told_error(told)
        return [Event.model_validate(told, extra="ignore").root] if told.get("kind") in _KINDS else []
