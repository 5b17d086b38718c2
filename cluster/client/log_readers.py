"""What the events of a task's log mean: its records, or the metrics of its epochs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

from pydantic_core import from_json

from cluster.client.streams import SentEvent
from cluster.service_errors import refusal
from serve_app.schemas.tasks import LogRecord

#: By the names of ``latest_metrics``; None for a figure that is not finite.
Metrics = Mapping[str, int | float | None]

#: How an error that ends a stream, whose status was sent long before, would have been answered at its beginning.
_STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "not_ready": HTTPStatus.SERVICE_UNAVAILABLE,
    "store_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
    "internal_error": HTTPStatus.INTERNAL_SERVER_ERROR,
    "task_not_found": HTTPStatus.NOT_FOUND,
    "key_required": HTTPStatus.UNAUTHORIZED,
}


class LogReader:
    """Reads records; over with the one that tells the task's end."""

    def __init__(self) -> None:
        self.is_over = False
        self._last_timestamp = ""

    def read(self, event: SentEvent) -> list[LogRecord]:
        """The record of an event. Raises ApiError where the service tells of one."""
        told: dict[str, Any] = from_json(event.data)
        raise_told_error(told)
        # The end of a task whose log was cut off has neither a time nor a level.
        plain = {"timestamp": self._last_timestamp or datetime.now(UTC).isoformat(), "level": "INFO"} | told
        record = LogRecord.model_validate(plain, extra="ignore")
        self._last_timestamp = record.timestamp
        self.is_over = record.status is not None and record.status.is_final
        return [record]


class EpochReader:
    """Reads the metrics of each epoch, once: an attempt that repeats epochs tells them again."""

    def __init__(self) -> None:
        self._records = LogReader()
        self._last_epoch = 0

    @property
    def is_over(self) -> bool:
        """Whether the training has ended."""
        return self._records.is_over

    def read(self, event: SentEvent) -> list[Metrics]:
        """The metrics of an epoch that ends with this event, if one does. Raises ApiError where the service tells of one."""
        return [each.metrics for each in self._records.read(event) if each.metrics and self._is_new(each)]

    def _is_new(self, record: LogRecord) -> bool:
        epoch = (record.metrics or {}).get("epoch")
        if record.stage != "epoch_end" or not epoch or epoch <= self._last_epoch:
            return False
        self._last_epoch = int(epoch)
        return True


def raise_told_error(told: Mapping[str, Any]) -> None:
    """Raise the error that an event tells of, if it does: once a stream has begun, an error is its last event. Raises ApiError."""
    if told.get("status") != "error":
        return
    code = str(told.get("code", ""))
    status = _STATUS_OF_CODE.get(code, HTTPStatus.BAD_REQUEST)
    raise refusal(status, str(told.get("message", "")), code=code, detail=told.get("detail", ""))
