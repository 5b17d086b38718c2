"""What tasks have found and written: ``rfuav tasks files``, ``download``, ``results``, ``metrics`` and ``confusion``."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.output import Sheet, as_plain, give_up, say, say_json, say_sheet
from cluster.commands.service_command import ServiceCommand, asked
from cluster.commands.tasks import TaskId
from cluster.commands.transfer import Transfer

if TYPE_CHECKING:
    from cluster.client import Client

#: The columns of ``metrics`` for people; --json has all.
_COLUMNS = ("epoch", "train_loss", "train_acc", "val_loss", "val_acc", "macro_f1", "mAP", "top3_acc", "learning_rate")


def list_files(ctx: typer.Context, task_id: TaskId) -> None:
    """List the files that a task wrote."""
    with service(ctx) as client:
        files = list(client.files(task_id))
    tell(ctx, {"task_id": task_id, "files": files}, lambda _: _tell_files(files))


def download(
    ctx: typer.Context,
    task_id: TaskId,
    paths: Annotated[list[str] | None, typer.Argument(help="As `tasks files` lists them; none: all.", show_default=False)] = None,
    *,
    to: Annotated[Path, typer.Option(help="Folder on this machine; folders of the task's output are kept in it.")] = Path(),
) -> None:
    """Fetch files that a task wrote."""
    with service(ctx) as client:
        wanted = paths or [each.path for each in client.files(task_id)]
        fetched = [_fetch(client, task_id, path, to, is_quiet=asked(ctx).as_json) for path in wanted]
    if asked(ctx).as_json:
        say_json({"task_id": task_id, "files": [str(path) for path in fetched]})
    else:
        for path in fetched:
            say(str(path))


def results(
    ctx: typer.Context,
    task_id: TaskId,
    *,
    by_file: Annotated[bool, typer.Option("--files", help="One row for each file instead of each picture and frame.")] = False,
) -> None:
    """Print what an inference found; with --json one object a line."""
    with service(ctx) as client:
        rows: Any = client.file_results(task_id) if by_file else client.results(task_id)
        found = [as_plain(row) for row in rows]
    if asked(ctx).as_json:
        for row in found:
            say_json(row)
        return
    cells = [(row["file"], row.get("segment"), row["class"], row["confidence"], row["error"]) for row in found]
    say_sheet(
        Sheet(("File", "Segment", "Class", "Percent", "Error"), cells),
        empty="no results yet: they are there when the task has ended",
    )


def metrics(ctx: typer.Context, task_id: TaskId) -> None:
    """Print the metrics of every epoch of a training."""
    with service(ctx) as client:
        tell(ctx, client.metrics(task_id), _tell_metrics)


def evaluation(ctx: typer.Context, task_id: TaskId) -> None:
    """Print what an evaluation found, at each signal-to-noise ratio."""
    with service(ctx) as client:
        tell(ctx, client.evaluation(task_id), _tell_evaluation)


def confusion(ctx: typer.Context, task_id: TaskId) -> None:
    """Print which classes a training took for which in its last validation: a row for each true class."""
    with service(ctx) as client:
        tell(ctx, client.confusion_matrix(task_id), _tell_confusion)


def add_to(app: typer.Typer) -> None:
    """Make these commands part of a group."""
    app.command("files", cls=ServiceCommand)(list_files)
    for command in (download, results, metrics, evaluation, confusion):
        app.command(cls=ServiceCommand)(command)


def _fetch(client: "Client", task_id: str, path: str, folder: Path, *, is_quiet: bool) -> Path:
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts:
        give_up(f"{path!r} is no file below the output of a task; `rfuav tasks files {task_id}` lists them", ExitCode.BAD_INPUT)
    target = folder / parts
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with Transfer(path, is_quiet=is_quiet) as transfer:
            return client.download(task_id, path, target, on_progress=transfer.advance)
    except OSError as error:
        give_up(f"{target}: {error.strerror or error}; choose another folder with --to", ExitCode.BAD_INPUT)


def _tell_files(files: list[Any]) -> None:
    rows = [(each.path, each.size_bytes, each.modified_at[:19].replace("T", " ")) for each in files]
    say_sheet(Sheet(("Path", "Bytes", "Modified"), rows), empty="no files")


def _tell_metrics(answer: Any) -> None:
    names = [name for name in _COLUMNS if name in answer.columns]
    rows = list(zip(*(answer.columns[name] for name in names), strict=True)) if names else []
    say_sheet(Sheet(names, rows), empty="no epoch has ended yet")


def _tell_evaluation(answer: Any) -> None:
    result = as_plain(answer)["result"]
    if result is None:
        say(f"{answer['task_id']} is {answer['status']}; there is nothing before it has completed")
        return
    rows = [
        (
            "as they are" if score["snr_db"] is None else score["snr_db"],
            score["frames"],
            score["accuracy"],
            score["macro_f1"],
            score["recording_accuracy"],
        )
        for score in result["scores"]
    ]
    say_sheet(Sheet(("SNR dB", "Frames", "Accuracy", "Macro F1", "Recordings right"), rows), empty="no scores")


def _tell_confusion(answer: Any) -> None:
    rows = [(label, *counts) for label, counts in zip(answer.labels, answer.counts, strict=True)]
    say_sheet(Sheet(("true \\ predicted", *answer.labels), rows), empty="no epoch has ended yet")
