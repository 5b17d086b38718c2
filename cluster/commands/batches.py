"""``rfuav infer-batch`` and ``rfuav batches``: one inference for each of many sources, steered together."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.follow import exit_code_of_end
from cluster.commands.output import complain, say, say_fields, say_json, show
from cluster.commands.service_command import ServiceCommand, asked, read_request_of, requests
from cluster.commands.submit import PANEL, DryRun, Follow, RequestFile, tell_explanation

if TYPE_CHECKING:
    from cluster.client import Client

app = typer.Typer(help="Look at and cancel batches of inferences.", no_args_is_help=True)

BatchId = Annotated[str, typer.Argument(help="As `infer-batch` told it.", show_default=False)]


def infer_batch(
    ctx: typer.Context,
    sources: Annotated[
        list[str] | None, typer.Argument(help="Files or folders; the same as --source-paths.", show_default=False)
    ] = None,
    *,
    file: RequestFile = None,
    follow: Follow = False,
    dry_run: DryRun = False,
) -> None:
    """Submit one inference for each source, all with the same model: all of them, or none."""
    request = read_request_of(ctx, file, **({"source_paths": sources} if sources else {}))
    with service(ctx) as client:
        if dry_run:
            tell(ctx, client.explain("inference", _one_of(request)), tell_explanation)
            return
        answer = client.infer_batch(request)
        tell(
            ctx, answer, lambda batch: say(f"{batch.batch_id}: {batch.total} tasks; `rfuav batches follow {batch.batch_id}` waits")
        )
        if follow:
            raise typer.Exit(_wait(client, answer.batch_id, as_json=asked(ctx).as_json))


@app.command("show", cls=ServiceCommand)
def show_batch(ctx: typer.Context, batch_id: BatchId) -> None:
    """Show a batch as a whole: its tasks by status, and how far it is."""
    with service(ctx) as client:
        tell(ctx, client.batch(batch_id), _tell_batch)


@app.command("follow", cls=ServiceCommand)
def follow_batch(ctx: typer.Context, batch_id: BatchId) -> None:
    """Wait until all tasks of a batch have ended; Ctrl-C detaches and they go on."""
    with service(ctx) as client:
        raise typer.Exit(_wait(client, batch_id, as_json=asked(ctx).as_json))


@app.command("cancel", cls=ServiceCommand)
def cancel_batch(ctx: typer.Context, batch_id: BatchId) -> None:
    """Cancel every task of a batch that has not ended."""
    with service(ctx) as client:
        tell(ctx, client.cancel_batch(batch_id), lambda answer: say(f"{answer.message}: {len(answer.task_ids)} tasks"))


def add_to(root: typer.Typer) -> None:
    """Make these commands part of the command line."""
    cls = requests("serve_app.schemas.inference:BatchInferenceRequest")
    root.command(cls=cls, rich_help_panel=PANEL)(infer_batch)
    root.add_typer(app, name="batches", rich_help_panel="Tasks")


def _wait(client: "Client", batch_id: str, *, as_json: bool) -> ExitCode:
    """Tell each change of a batch until its end; returns the exit code of the end."""
    try:
        batch = client.wait_for_batch(batch_id, on_change=say_json if as_json else _tell_change)
    except KeyboardInterrupt:
        complain(
            f"detached; the tasks go on. `rfuav batches follow {batch_id}` re-attaches, `rfuav batches cancel {batch_id}` ends them"
        )
        return ExitCode.INTERRUPTED
    return exit_code_of_end(batch.status)


def _one_of(request: Any) -> dict[str, Any]:
    """The inference that the first source of a batch becomes."""
    fields: dict[str, Any] = request.model_dump(mode="json", exclude_unset=True)
    fields.pop("save_base_path", None)
    return fields | {"source_path": fields.pop("source_paths")[0]}


def _tell_batch(batch: Any) -> None:
    say_fields(batch.model_dump(mode="json") | {"counts": _counts(batch), "progress": f"{batch.progress} %"})


def _tell_change(batch: Any) -> None:
    say(f"{batch.progress:3} %  {batch.status}: {show(_counts(batch))}")


def _counts(batch: Any) -> dict[str, int]:
    return {state: count for state, count in batch.counts.items() if count}
