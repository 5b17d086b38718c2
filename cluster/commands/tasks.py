"""``rfuav tasks``: find, look at, follow, end, re-rank and forget tasks of every kind."""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.completion import complete_task_id
from cluster.commands.connection import service, tell
from cluster.commands.follow import at_least, describe_metrics, describe_record, follow_task
from cluster.commands.output import Sheet, as_plain, complain, say, say_fields, say_json, say_sheet
from cluster.commands.service_command import ServiceCommand, asked
from cluster.commands.submit import tell_explanation

if TYPE_CHECKING:
    from serve_app.schemas.tasks import TaskResponse

app = typer.Typer(help="Find, follow, steer and forget tasks.", no_args_is_help=True)

TaskId = Annotated[str, typer.Argument(help="Of any kind of task.", autocompletion=complete_task_id, show_default=False)]
After = Annotated[int, typer.Option(help="How many lines to leave out.", min=0)]
Status = Annotated[str | None, typer.Option(metavar="STATUS", help="pending, queued, running, completed, failed or cancelled.")]
TaskType = Annotated[
    str | None,
    typer.Option(
        "--type",
        metavar="TYPE",
        help="training, inference, evaluate, dataset_split, data_augmentation, image_crop or spectrogram.",
    ),
]
#: What --search looks into.
_SEARCHED = ("task_id", "task_type", "name", "model", "description", "device", "message")


@app.command("list", cls=ServiceCommand)
def list_tasks(  # noqa: PLR0913 (one parameter per option)
    ctx: typer.Context,
    *,
    status: Status = None,
    task_type: TaskType = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most tasks.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
    search: Annotated[str, typer.Option(help="Only tasks with this in id, name, model or description; looks through all.")] = "",
) -> None:
    """List tasks, newest first."""
    with service(ctx) as client:
        if search:
            every = client.tasks(status=status, task_type=task_type, page_size=1000)
            found = list(islice((task for task in every if _has(task, search)), limit))
            tell(ctx, {"tasks": found}, lambda answer: _tell_tasks(answer["tasks"]))
            return
        tell(ctx, client.task_page(status=status, task_type=task_type, limit=limit, cursor=cursor), _tell_page)


@app.command("show", cls=ServiceCommand)
def show_task(ctx: typer.Context, task_id: TaskId) -> None:
    """Show one task and, without --json, the leases that it had."""
    with service(ctx) as client:
        tell(ctx, client.task(task_id), _tell_task)
        if not asked(ctx).as_json:
            _tell_leases(client.leases(task_id))


@app.command("log", cls=ServiceCommand)
def show_log(
    ctx: typer.Context,
    task_id: TaskId,
    *,
    after: After = 0,
    tail: Annotated[int, typer.Option(min=0, help="Only so many lines, the last ones; 0: all.")] = 0,
    level: Annotated[str, typer.Option(metavar="LEVEL", help="This level or a more serious one, such as WARNING.")] = "DEBUG",
) -> None:
    """Print what the log of a task holds now; with --json one object a line."""
    with service(ctx) as client:
        records = list(at_least(client.log(task_id, after=after), level.upper()))
    for record in records[-tail:]:
        if asked(ctx).as_json:
            say_json({name: value for name, value in as_plain(record).items() if value is not None})
        else:
            say(describe_record(record))


@app.command("follow", cls=ServiceCommand)
def follow(ctx: typer.Context, task_id: TaskId, *, after: After = 0) -> None:
    """Show the log of a task as it comes; ends with the exit code of the task's end. Ctrl-C detaches and the task goes on."""
    with service(ctx) as client:
        client.task(task_id)  # Says at once where there is none, while a stream is asked for patiently.
        raise typer.Exit(follow_task(client, task_id, as_json=asked(ctx).as_json, after=after))


@app.command("cancel", cls=ServiceCommand)
def cancel(ctx: typer.Context, task_id: TaskId) -> None:
    """Take a waiting task out of the line, or stop a running one."""
    with service(ctx) as client:
        tell(ctx, client.cancel(task_id), _tell_action)


@app.command("stop", cls=ServiceCommand)
def stop(ctx: typer.Context, task_id: TaskId) -> None:
    """End a training; a running one writes a checkpoint first."""
    with service(ctx) as client:
        tell(ctx, client.stop(task_id), _tell_action)


@app.command("kill", cls=ServiceCommand)
def kill(ctx: typer.Context, task_id: TaskId) -> None:
    """End a task at once, without a checkpoint."""
    with service(ctx) as client:
        tell(ctx, client.kill(task_id), _tell_action)


@app.command("delete", cls=ServiceCommand)
def delete(ctx: typer.Context, task_id: TaskId) -> None:
    """Forget an ended task and its log; the files it wrote stay."""
    with service(ctx) as client:
        tell(ctx, client.delete(task_id), _tell_action)


@app.command("priority", cls=ServiceCommand)
def priority(
    ctx: typer.Context,
    task_id: TaskId,
    rank: Annotated[int, typer.Argument(metavar="PRIORITY", help="1 is the most urgent, 10 the least.", show_default=False)],
) -> None:
    """Give a waiting task another place in the line."""
    with service(ctx) as client:
        tell(ctx, client.set_priority(task_id, rank), _tell_action)


@app.command("why", cls=ServiceCommand)
def why(ctx: typer.Context, task_id: TaskId) -> None:
    """Say what a waiting task misses, who holds it, what would free it, and when it may start."""
    with service(ctx) as client:
        tell(ctx, client.why(task_id), _tell_why)


@app.command("history", cls=ServiceCommand)
def history(ctx: typer.Context, task_id: TaskId) -> None:
    """Show every state that a task has been in, with what brought it there."""
    with service(ctx) as client:
        tell(ctx, client.history(task_id), _tell_history)


@app.command("leases", cls=ServiceCommand)
def leases(ctx: typer.Context, task_id: TaskId) -> None:
    """Show every lease that a task has had: of which devices, from when to when, and how it ended."""
    with service(ctx) as client:
        tell(ctx, client.leases(task_id), _tell_leases)


def _has(task: "TaskResponse", text: str) -> bool:
    fields: dict[str, Any] = dict(task)
    return any(text.lower() in str(fields[name] or "").lower() for name in _SEARCHED)


def _tell_page(page: Any) -> None:
    every = [*page["training_tasks"], *page["inference_tasks"], *page["preprocessing_tasks"]]
    _tell_tasks(sorted(every, key=lambda task: datetime.fromisoformat(task["created_at"]), reverse=True))
    if page["next_cursor"]:
        complain(f"there are more: --cursor {page['next_cursor']}")


def _tell_tasks(tasks: list[Any]) -> None:
    rows = [
        (
            task["task_id"],
            task["task_type"],
            task["status"] if task["queue_position"] is None else f"{task['status']} ({task['queue_position']})",
            f"{task['progress']} %",
            task["device"],
            task["priority"],
            task["created_at"][:19].replace("T", " "),
            describe_metrics(task["latest_metrics"] or {}) or task["message"],
        )
        for task in tasks
    ]
    say_sheet(Sheet(("Task", "Type", "Status", "Done", "Device", "Priority", "Created", "Tells"), rows), empty="no tasks")


def _tell_task(task: Any) -> None:
    metrics = task["latest_metrics"] or {}
    say_fields(dict(task) | {"progress": f"{task['progress']} %", "latest_metrics": metrics})


def _tell_action(answer: Any) -> None:
    say(f"{answer.task_id}: {answer.message}")


def _tell_why(answer: Any) -> None:
    say(f"{answer.task_id} is {answer.status.value}")
    tell_explanation(answer)


def _tell_history(answer: Any) -> None:
    rows = [(_moment(step.at), step.before and step.before.value, step.after.value, step.cause) for step in answer.history]
    say_sheet(Sheet(("At", "Before", "After", "Cause"), rows), empty="no history")


def _tell_leases(answer: Any) -> None:
    rows = [
        (
            lease.attempt,
            ", ".join(f"{each.gpu_fraction:g} of {each.device}" for each in lease.devices),
            f"{sum(each.memory_gb for each in lease.devices):g} GB",
            _moment(lease.granted_at),
            _moment(lease.ended_at),
            lease.end.value if lease.end else "held",
        )
        for lease in answer.leases
    ]
    say_sheet(Sheet(("Attempt", "Held", "Memory", "From", "To", "End"), rows), empty="no leases")


def _moment(at: str | None) -> str:
    return "" if at is None else at[:19].replace("T", " ")
