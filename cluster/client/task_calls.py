"""Tasks after their submission: looked at, waited for, followed, ended. Each function is a method of both clients; its docstring is theirs.

Looking is repeated by itself after a lost connection. What ends or forgets a task is repeated only where nothing of the call reached the
service: whether a cancel came through is better asked, with ``task()``, than guessed.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TypeVar

from cluster.client import contract
from cluster.client.flows import Flow, Items, Pause, ask, is_passing, pages
from cluster.client.log_readers import EpochReader, LogReader, Metrics
from cluster.client.operation import Call
from cluster.client.retry import Manner
from cluster.client.streams import follow
from cluster.service_errors import ApiError, UnreachableError, WaitEndedError
from serve_app.schemas.access import StreamTicketResponse
from serve_app.schemas.evaluate import EvaluationResponse
from serve_app.schemas.inference import BatchActionResponse, BatchStatusResponse
from serve_app.schemas.preprocessing import PreprocessingResponse
from serve_app.schemas.results import (
    ConfusionMatrixResponse,
    FileSummaryBody,
    FileSummaryPage,
    MetricsHistoryResponse,
    PredictionBody,
    PredictionPage,
)
from serve_app.schemas.tasks import (
    LogRecord,
    TaskActionResponse,
    TaskHistoryResponse,
    TaskLeasesResponse,
    TaskListResponse,
    TaskResponse,
)
from serve_app.schemas.waiting import WhyResponse

FINAL = frozenset({"completed", "failed", "cancelled"})
Status = TypeVar("Status")


def task(task_id: str) -> Call[TaskResponse]:
    """One task. Raises ApiError with the code ``task_not_found`` where there is none."""
    return contract.TASK.call(task_id=task_id)


def task_page(
    *, status: str | None = None, task_type: str | None = None, limit: int = 100, cursor: str | None = None
) -> Call[TaskListResponse]:
    """One page of tasks, newest first, by kind; ``tasks()`` walks through all pages."""
    return contract.TASKS.call(query={"status": status, "task_type": task_type, "limit": limit, "cursor": cursor})


def tasks(manner: Manner, *, status: str | None = None, task_type: str | None = None, page_size: int = 100) -> Items[TaskResponse]:
    """Yield the tasks of every kind, newest first, page by page as they are wanted."""
    call_after = partial(_task_page_after, status, task_type, page_size)
    return pages(manner, call_after, _newest_first, lambda page: page["next_cursor"])


def wait(
    manner: Manner,
    task_id: str,
    *,
    timeout_s: float | None = None,
    poll_s: float = 1.0,
    on_change: Callable[[TaskResponse], None] | None = None,
) -> Flow[TaskResponse]:
    """Wait until a task has ended, over restarts of the service, and return it: completed, failed or cancelled.

    Args:
        manner: of the client.
        task_id: of any kind of task.
        timeout_s: the longest wait, also for a service that is away; None waits for ever.
        poll_s: the longest pause between two looks; the first ones are shorter.
        on_change: called with the task whenever it looks different, and first at once.

    Raises:
        WaitEndedError: it has not ended in time, or the service did not say so in time; it goes on.
        UnreachableError: the service was away for longer than the client's patience, which ended before the timeout.
    """
    look = partial(contract.TASK.call, task_id=task_id)
    return _wait(manner, look, lambda seen: seen["status"], on_change or _ignore, (task_id, timeout_s, poll_s))


def wait_for_batch(
    manner: Manner,
    batch_id: str,
    *,
    timeout_s: float | None = None,
    poll_s: float = 1.0,
    on_change: Callable[[BatchStatusResponse], None] | None = None,
) -> Flow[BatchStatusResponse]:
    """Wait until all tasks of a batch have ended; otherwise as ``wait()``."""
    look = partial(contract.BATCH.call, batch_id=batch_id)
    return _wait(manner, look, lambda seen: seen.status, on_change or _ignore, (batch_id, timeout_s, poll_s))


def log(task_id: str, *, after: int = 0) -> Call[list[LogRecord]]:
    """What the log of a task holds now, from the line after the given one."""
    return contract.LOG.call(query={"format": "json", "last_event_id": after or None}, task_id=task_id)


def follow_log(manner: Manner, task_id: str, *, after: int = 0) -> Items[LogRecord]:
    """Yield the log of a task as it comes, until the task has ended; the last record tells how.

    Goes on where it was when the connection is lost or the service restarts: no line comes twice, none is left out.

    Args:
        manner: of the client.
        task_id: of any kind of task.
        after: the number of lines to leave out.
    """
    return follow(manner, contract.LOG.call(query={"format": "sse"}, task_id=task_id), LogReader(), after=str(after or ""))


def metrics(task_id: str) -> Call[MetricsHistoryResponse]:
    """The metrics of every epoch of a training so far, as columns."""
    return contract.METRICS.call(task_id=task_id)


def follow_metrics(manner: Manner, task_id: str) -> Items[Metrics]:
    """Yield the metrics of each epoch of a training as it ends, from the first epoch on, until the training has ended."""
    return follow(manner, contract.LOG.call(query={"format": "sse"}, task_id=task_id), EpochReader())


def confusion_matrix(task_id: str) -> Call[ConfusionMatrixResponse]:
    """Which classes a training took for which, in its last validation."""
    return contract.CONFUSION_MATRIX.call(task_id=task_id)


def evaluation(task_id: str) -> Call[EvaluationResponse]:
    """An evaluation with accuracy, macro F1 and confusion matrix at each signal-to-noise ratio."""
    return contract.EVALUATION.call(task_id=task_id)


def preprocessing(task_id: str) -> Call[PreprocessingResponse]:
    """A preprocessing task with what it counted."""
    return contract.PREPROCESSING.call(task_id=task_id)


def results(manner: Manner, task_id: str, *, page_size: int = 1000) -> Items[PredictionBody]:
    """Yield what an inference found in each picture and frame, page by page as they are wanted."""
    return pages(manner, partial(_results_after, task_id, page_size), _predictions, lambda page: page.next_cursor)


def file_results(manner: Manner, task_id: str, *, page_size: int = 1000) -> Items[FileSummaryBody]:
    """Yield what an inference found in each file as a whole."""
    return pages(manner, partial(_file_results_after, task_id, page_size), _summaries, lambda page: page.next_cursor)


def batch(batch_id: str) -> Call[BatchStatusResponse]:
    """A batch as a whole."""
    return contract.BATCH.call(batch_id=batch_id)


def cancel_batch(batch_id: str) -> Call[BatchActionResponse]:
    """Cancel every task of a batch that has not ended."""
    return contract.CANCEL_BATCH.call(batch_id=batch_id)


def cancel(task_id: str) -> Call[TaskActionResponse]:
    """Take a waiting task out of the line, or stop a running one. Repeated only where nothing reached the service."""
    return contract.CANCEL.call(task_id=task_id)


def stop(task_id: str) -> Call[TaskActionResponse]:
    """End a training; a running one writes a checkpoint first. Repeated only where nothing reached the service."""
    return contract.STOP.call(task_id=task_id)


def kill(task_id: str) -> Call[TaskActionResponse]:
    """End a task at once, without a checkpoint. Repeated only where nothing reached the service."""
    return contract.KILL.call(task_id=task_id)


def delete(task_id: str) -> Call[TaskActionResponse]:
    """Forget an ended task and its log; the files it wrote stay. Repeated only where nothing reached the service."""
    return contract.DELETE.call(task_id=task_id)


def set_priority(task_id: str, priority: int) -> Call[TaskActionResponse]:
    """Give a waiting task another place in the line: 1 is the most urgent, 10 the least."""
    return contract.SET_PRIORITY.send({"priority": priority}, {}, task_id=task_id)


def why(task_id: str) -> Call[WhyResponse]:
    """What a waiting task misses, who holds it, what would free it, and when it may start."""
    return contract.WHY.call(task_id=task_id)


def history(task_id: str) -> Call[TaskHistoryResponse]:
    """Every state that a task has been in, with what brought it there."""
    return contract.HISTORY.call(task_id=task_id)


def leases(task_id: str) -> Call[TaskLeasesResponse]:
    """Every lease that a task has had: of which devices, how much, from when to when, and how it ended."""
    return contract.LEASES.call(task_id=task_id)


def stream_ticket(task_id: str) -> Call[StreamTicketResponse]:
    """A ticket to the log of a task, for a browser's EventSource, which can send no key."""
    return contract.STREAM_TICKET.send({"task_id": task_id}, {})


def _wait(
    manner: Manner,
    look: Callable[[], Call[Status]],
    state_of: Callable[[Status], str],
    on_change: Callable[[Status], None],
    wish: tuple[str, float | None, float],
) -> Flow[Status]:
    """Look ever so often until a state is final; ``wish`` is what is waited for, its timeout and the longest pause."""
    subject, timeout_s, poll_s = wish
    pause_s = min(0.1, poll_s)
    manner = manner if timeout_s is None else replace(manner, deadline=manner.clock() + timeout_s)
    last: Status | None = None
    while True:
        try:
            seen = yield from _look(manner.patiently(has_answered=last is not None), look())
        except _TimeIsUpError as away:
            raise WaitEndedError(f"{subject}: the service did not answer within {timeout_s:g} s ({away}); wait again") from away
        if seen != last:
            on_change(seen)
            last = seen
        if state_of(seen) in FINAL:
            return seen
        left_s = manner.left_s()
        if left_s is not None and pause_s > left_s:
            raise WaitEndedError(f"{subject} is {state_of(seen)} after {timeout_s:g} s; it goes on, wait again to see its end")
        yield Pause(pause_s)
        pause_s = min(poll_s, pause_s * 1.5)


class _TimeIsUpError(Exception):
    """The service was away until the deadline. The text says how."""


def _look(manner: Manner, call: Call[Status]) -> Flow[Status]:
    """Ask once. Raises _TimeIsUpError where the deadline came before an answer, and what asking raises otherwise."""
    left_s = manner.left_s()
    try:
        return (yield from ask(manner, call))
    except (UnreachableError, ApiError) as error:
        is_away = isinstance(error, UnreachableError) or is_passing(error, knows_the_service=manner.has_answered)
        if is_away and left_s is not None and left_s <= manner.retry.patience_s:
            raise _TimeIsUpError(str(error)) from error
        raise


def _ignore(_seen: object) -> None:
    """Nobody wants to know."""


def _task_page_after(status: str | None, task_type: str | None, limit: int, cursor: str | None) -> Call[TaskListResponse]:
    return task_page(status=status, task_type=task_type, limit=limit, cursor=cursor)


def _results_after(task_id: str, limit: int, cursor: str | None) -> Call[PredictionPage]:
    return contract.RESULTS.call(query={"limit": limit, "cursor": cursor}, task_id=task_id)


def _file_results_after(task_id: str, limit: int, cursor: str | None) -> Call[FileSummaryPage]:
    return contract.FILE_RESULTS.call(query={"limit": limit, "cursor": cursor, "level": "file"}, task_id=task_id)


def _newest_first(page: TaskListResponse) -> Iterable[TaskResponse]:
    """The three kinds of a page as one list again."""
    every = [*page["training_tasks"], *page["inference_tasks"], *page["preprocessing_tasks"]]
    return sorted(every, key=lambda each: datetime.fromisoformat(each["created_at"]), reverse=True)


def _predictions(page: PredictionPage) -> Iterable[PredictionBody]:
    return page.predictions


def _summaries(page: FileSummaryPage) -> Iterable[FileSummaryBody]:
    return page.files
