"""What tasks left in their output folders, read for answers.

Owns when such a file counts as the task's own: inside the data roots, links resolved, and not older than the task's start. Files are
read in threads; the event loop sees finished answers only.
"""

import stat
from collections.abc import Callable
from http import HTTPStatus
from math import isfinite
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter

from actors.core.tasks import Task, TaskState
from actors.learning.evaluation_files import EVALUATION_JSON
from actors.learning.history_files import (
    CONFUSION_JSON,
    METRICS_CSV,
    Confusion,
    read_confusion,
    read_metrics,
)
from actors.learning.prediction_files import PREDICTIONS_JSON, SUMMARY_JSON, read_predictions
from actors.paths import build_data_roots, resolve_inside
from configs.settings import Settings
from serve_app.file_work import in_file_thread
from serve_app.http_errors import RequestRefusedError
from serve_app.schemas.evaluate import EvaluationResult
from serve_app.schemas.results import (
    ConfusionMatrixResponse,
    FileSummaryBody,
    FileSummaryPage,
    MetricsHistoryResponse,
    PredictionBody,
    PredictionPage,
)

Found = TypeVar("Found")
_PREDICTIONS = TypeAdapter(list[PredictionBody])
_SUMMARIES = TypeAdapter(list[FileSummaryBody])


async def metrics_history(task: Task, settings: Settings) -> MetricsHistoryResponse:
    """The history of a training. Raises RequestRefusedError, as ``_read``."""
    columns = await in_file_thread(_read, task, settings, METRICS_CSV, read_metrics) or {}
    finite = {name: [value if isfinite(value) else None for value in column] for name, column in columns.items()}
    epochs = max(map(len, finite.values()), default=0)
    return MetricsHistoryResponse(task_id=task.task_id, epochs=epochs, columns=finite)


async def confusion_matrix(task: Task, settings: Settings) -> ConfusionMatrixResponse:
    """The last confusion matrix of a training. Raises RequestRefusedError, as ``_read``."""
    found: Confusion | None = await in_file_thread(_read, task, settings, CONFUSION_JSON, read_confusion)
    if found is None:
        return ConfusionMatrixResponse(task_id=task.task_id, epoch=None, labels=[], counts=[])
    counts = [list(row) for row in found.counts]
    return ConfusionMatrixResponse(task_id=task.task_id, epoch=found.epoch, labels=list(found.labels), counts=counts)


async def prediction_page(task: Task, settings: Settings, *, first: int, count: int) -> PredictionPage:
    """Predictions of an inference from number ``first`` on. Raises RequestRefusedError, as ``_read``."""
    found = await in_file_thread(_read, task, settings, PREDICTIONS_JSON, _page_reader(_PREDICTIONS, first, count))
    total, predictions = found or (0, [])
    return PredictionPage(
        task_id=task.task_id,
        status=task.state,
        total=total,
        predictions=predictions,
        next_cursor=_next_cursor(first, len(predictions), total),
    )


async def file_summary_page(task: Task, settings: Settings, *, first: int, count: int) -> FileSummaryPage:
    """Summaries of an inference job's files from number ``first`` on. Raises RequestRefusedError, as ``_read``.

    Jobs over pictures alone write none: there each prediction tells of a whole file.
    """

    def read(predictions: Path) -> tuple[int, list[FileSummaryBody]]:
        summaries = predictions.with_name(SUMMARY_JSON)
        if _is_own_file(summaries, task):
            return _page_reader(_SUMMARIES, first, count)(summaries)
        total, pictures = _page_reader(_PREDICTIONS, first, count)(predictions)
        return total, [_as_summary(each) for each in pictures]

    found = await in_file_thread(_read, task, settings, PREDICTIONS_JSON, read)
    total, files = found or (0, [])
    return FileSummaryPage(
        task_id=task.task_id,
        status=task.state,
        total=total,
        files=files,
        next_cursor=_next_cursor(first, len(files), total),
    )


def _page_reader(shape: TypeAdapter[list[Found]], first: int, count: int) -> Callable[[Path], tuple[int, list[Found]]]:
    """Make the reader of some entries of a file, which are checked."""

    def read(path: Path) -> tuple[int, list[Found]]:
        total, entries = read_predictions(path, first, count)
        return total, shape.validate_python(entries)

    return read


def _next_cursor(first: int, count: int, total: int) -> str | None:
    end = first + count
    return str(end) if count and end < total else None


def _as_summary(picture: PredictionBody) -> FileSummaryBody:
    """Tell of a picture what its one prediction tells."""
    best = {} if picture.class_name is None else {picture.class_name: 1}
    told = picture.model_dump(include={"file", "class_name", "confidence", "top", "error"}, by_alias=True)
    return FileSummaryBody(**told, frames=len(best), seconds=None, frames_per_class=best)


def _is_own_file(path: Path, task: Task) -> bool:
    """Tell whether a file is the task's: what lies there from before is another's; a pipe would keep the thread waiting.

    Raises:
        OSError: It cannot be looked at for another reason than that it is missing.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and task.started_at is not None and status.st_mtime >= task.started_at


async def evaluation_result(task: Task, settings: Settings) -> EvaluationResult | None:
    """What an evaluation found; None before it has completed. Raises RequestRefusedError, as ``_read``."""
    if task.state is not TaskState.COMPLETED:
        return None

    def read(path: Path) -> EvaluationResult:
        return EvaluationResult.model_validate_json(path.read_bytes())

    found: EvaluationResult | None = await in_file_thread(_read, task, settings, EVALUATION_JSON, read)
    return found


def _read(task: Task, settings: Settings, name: str, read: Callable[[Path], Found]) -> Found | None:
    """Read a file of a task's output folder; None where the task has not written it yet.

    Raises:
        SubmissionError: the folder leads out of the data roots by now.
        RequestRefusedError: a completed task's file is gone (404), or is no such file any more (409).
    """
    if task.started_at is None:
        return None
    folder = task.submission.resolved.get("output") or task.submission.output_path
    path = resolve_inside(f"{folder}/{name}", "output_path", build_data_roots(settings))
    try:
        if _is_own_file(path, task):
            return read(path)
    except OSError:
        pass
    except ValueError:
        message = f"{name} of task {task.task_id!r} is not as the task wrote it"
        raise RequestRefusedError(HTTPStatus.CONFLICT, "output_changed", message) from None
    if task.state is not TaskState.COMPLETED:
        return None
    message = f"{name} of task {task.task_id!r} is no longer in its output folder"
    raise RequestRefusedError(HTTPStatus.NOT_FOUND, "output_not_found", message)
