"""``rfuav train``, ``infer``, ``infer-batch``, ``evaluate`` and ``prepare``: submissions, with one option for each field of the request."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.follow import follow_task
from cluster.commands.output import as_plain, say, say_fields, span
from cluster.commands.service_command import asked, read_request_of, requests

if TYPE_CHECKING:
    from cluster.client import Client

PANEL = "Work"
RequestFile = Annotated[
    Path | None, typer.Option("--file", help="YAML or JSON file with fields of the request, - for stdin; options win.")
]
Follow = Annotated[bool, typer.Option("--follow", help="Show the log until the end; Ctrl-C detaches and the task goes on.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say whether it would start now, where, and what is missing; submit nothing.")
]

prepare = typer.Typer(help="Split, augment, crop, or draw spectrograms: make data sets ready.", no_args_is_help=True)


def train(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Submit a training."""
    _submit(ctx, "training", "train", file, follow=follow, dry_run=dry_run)


def infer(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Submit an inference over a file or a folder."""
    _submit(ctx, "inference", "infer", file, follow=follow, dry_run=dry_run)


def evaluate(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Submit an evaluation: measure a model with files of known classes."""
    _submit(ctx, "evaluate", "evaluate", file, follow=follow, dry_run=dry_run)


@prepare.command("split", cls=requests("serve_app.schemas.preprocessing:SplitRequest"))
def split(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Divide class folders into train and valid, or into train, valid and test."""
    _submit(ctx, "dataset_split", "split", file, follow=follow, dry_run=dry_run)


@prepare.command("augment", cls=requests("serve_app.schemas.preprocessing:AugmentRequest"))
def augment(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Enlarge a data set: each picture again, and once more for each method."""
    _submit(ctx, "data_augmentation", "augment", file, follow=follow, dry_run=dry_run)


@prepare.command("crop", cls=requests("serve_app.schemas.preprocessing:CropRequest"))
def crop(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Cut the same box out of every picture."""
    _submit(ctx, "image_crop", "crop", file, follow=follow, dry_run=dry_run)


@prepare.command("spectrogram", cls=requests("serve_app.schemas.preprocessing:SpectrogramRequest"))
def spectrogram(ctx: typer.Context, *, file: RequestFile = None, follow: Follow = False, dry_run: DryRun = False) -> None:
    """Make a data set of pictures from recordings."""
    _submit(ctx, "spectrogram", "spectrogram", file, follow=follow, dry_run=dry_run)


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the command line."""
    kinds: dict[str, Callable[..., None]] = {"training:TrainingRequest": train, "inference:InferenceRequest": infer}
    kinds["evaluate:EvaluationRequest"] = evaluate
    for schema, command in kinds.items():
        app.command(cls=requests(f"serve_app.schemas.{schema}"), rich_help_panel=PANEL)(command)
    app.add_typer(prepare, name="prepare", rich_help_panel=PANEL)


def tell_explanation(answer: Any) -> None:
    """Say what would happen to a request, or why a task waits, for people."""
    say_fields(
        {
            "devices": answer.devices,
            "position": f"{answer.position} of {answer.line_length}" if answer.position else None,
            "missing": answer.missing,
            "reason": answer.message,
            "remedy": answer.remedy,
            "held by": [f"{each.task_id} ({each.type}, {each.device}, {each.memory_gb:g} GB)" for each in answer.held_by],
            "expected wait": span(answer.estimated_wait_s) if answer.missing else None,
        }
    )


def _submit(  # noqa: PLR0913 (what all submissions have in common)
    ctx: typer.Context, task_type: str, method: str, file: Path | None, *, follow: bool, dry_run: bool
) -> None:
    """Submit a request, or explain it; with ``follow``, end with the exit code of the task's end."""
    request = read_request_of(ctx, file)
    with service(ctx) as client:
        if dry_run:
            tell(ctx, client.explain(task_type, request), _tell_dry_run)
            return
        answer = getattr(client, method)(request)
        tell(ctx, answer, _tell_submitted)
        if follow:
            raise typer.Exit(_follow(ctx, client, as_plain(answer)["task_id"]))


def _follow(ctx: typer.Context, client: "Client", task_id: str) -> ExitCode:
    return follow_task(client, task_id, as_json=asked(ctx).as_json)


def _tell_submitted(answer: Any) -> None:
    task = as_plain(answer)
    place = f", number {task['queue_position']} in line" if task.get("queue_position") else ""
    say(f"{task['task_id']} is {task['status']}{place}; `rfuav tasks follow {task['task_id']}` shows its log")


def _tell_dry_run(answer: Any) -> None:
    say(f"it would start now on {answer.devices[0]}" if answer.would_start and answer.devices else _would(answer))
    tell_explanation(answer)


def _would(answer: Any) -> str:
    return "it would start now" if answer.would_start else "it would wait"
