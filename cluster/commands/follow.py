"""Following a task: its log as it comes, a bar with its metrics, and the exit code of its end.

Owns what a person, a file and a script see of a running task, and what Ctrl-C does: the task goes on. Knows no route.
"""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from cluster.commands.exits import ExitCode
from cluster.commands.output import complain, is_terminal, say, say_json, show

if TYPE_CHECKING:
    from cluster.client import Client
    from serve_app.schemas.tasks import LogRecord

#: Names of ``latest_metrics`` and how they are told, in the order of the bar.
_FIGURES: Final[Mapping[str, str]] = {
    "train_loss": "loss {:.4g}",
    "train_acc": "acc {:.1f} %",
    "val_loss": "val loss {:.4g}",
    "val_acc": "val acc {:.1f} %",
    "macro_f1": "F1 {:.3f}",
}
_ENDS: Final[Mapping[str, ExitCode]] = {
    "completed": ExitCode.OK,
    "failed": ExitCode.TASK_FAILED,
    "cancelled": ExitCode.TASK_CANCELLED,
}


class Viewer(Protocol):
    """Shows the records of a log, one after the other."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leave the screen as it was found."""
        ...

    def show(self, record: "LogRecord") -> None:
        """Show one more."""
        ...


def follow_task(client: "Client", task_id: str, *, as_json: bool, after: int = 0) -> ExitCode:
    """Show the log of a task until its end, or until Ctrl-C; returns the exit code of either."""
    seen, status = after, ""
    try:
        with choose_viewer(task_id, as_json=as_json) as viewer:
            for record in client.follow_log(task_id, after=after):
                viewer.show(record)
                seen += 1
                status = record.status or status
    except KeyboardInterrupt:
        complain(
            f"detached; the task goes on. `rfuav tasks follow {task_id} --after {seen}` re-attaches, `rfuav tasks cancel {task_id}` ends it"
        )
        return ExitCode.INTERRUPTED
    if status == "failed":
        _tell_fault(client.task(task_id)["error"])
    return exit_code_of_end(status)


def exit_code_of_end(status: str) -> ExitCode:
    """The exit code for how a task or a batch has ended."""
    return _ENDS.get(status, ExitCode.TASK_FAILED)


def choose_viewer(task_id: str, *, as_json: bool) -> Viewer:
    """What fits stdout: JSON lines, plain lines, or a bar with the lines above it."""
    if as_json:
        return JsonLines()
    return LiveBar(task_id) if is_terminal() else PlainLines()


class PlainLines:
    """One line of text for each record, for files and pipes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing open."""

    def show(self, record: "LogRecord") -> None:
        """Print time, level and message."""
        say(describe_record(record))


class JsonLines(PlainLines):
    """One JSON object for each record, for scripts."""

    def show(self, record: "LogRecord") -> None:
        """Print the record as the service sent it."""
        say_json({name: value for name, value in record.model_dump(mode="json").items() if value is not None})


class LiveBar:
    """A bar with the newest metrics below the lines, redrawn in place. For terminals."""

    def __init__(self, task_id: str) -> None:
        from rich.console import Console  # noqa: PLC0415 (what is redirected needs none of it)
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
        )
        self._task_id = task_id
        self._metrics: dict[str, Any] = {}
        self._progress = Progress(*columns, console=Console(highlight=False))
        self._bar = self._progress.add_task(f"{task_id} waits", total=100, figures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, record: "LogRecord") -> None:
        """Move the bar; what is no mere step of an epoch becomes a line above it."""
        from rich.text import Text  # noqa: PLC0415 (what is redirected needs none of it)

        self._metrics |= record.metrics or {}
        if record.status:
            self._progress.update(self._bar, description=f"{self._task_id} {record.status}")
        if record.progress is not None:
            self._progress.update(self._bar, completed=record.progress)
        self._progress.update(self._bar, figures=describe_metrics(self._metrics))
        if record.stage != "training":
            self._progress.console.print(Text(describe_record(record), style="red" if record.level == "ERROR" else ""))


def describe_record(record: "LogRecord") -> str:
    """A record as a line: the time of day, the level, the message."""
    return f"{record.timestamp[11:19]} {record.level:7} {show(record.message)}"


def describe_metrics(metrics: Mapping[str, Any]) -> str:
    """The figures that tell how a training goes, as far as they are known."""
    epoch, total = metrics.get("epoch"), metrics.get("total_epochs")
    parts = [f"epoch {epoch:g}/{total:g}"] if epoch and total else []
    parts += [form.format(metrics[name]) for name, form in _FIGURES.items() if metrics.get(name) is not None]
    return ", ".join(parts)


def at_least(records: Iterable["LogRecord"], level: str) -> Iterable["LogRecord"]:
    """The records of a level or a more serious one."""
    ranks = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    wanted = set(ranks[ranks.index(level) :]) if level in ranks else set(ranks)
    return (record for record in records if record.level in wanted or record.level not in ranks)


def _tell_fault(fault: Any) -> None:
    if fault:
        complain(f"{fault['message']} ({fault['code']})" + (f"; {fault['hint']}" if fault["hint"] else ""))
