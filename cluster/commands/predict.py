"""``rfuav predict``: what pictures and recordings on this machine show, answered at once."""

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.commands.completion import complete_model
from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.output import Sheet, as_plain, complain, give_up, say, say_sheet
from cluster.commands.service_command import ServiceCommand


def predict(  # noqa: PLR0913 (one parameter per option)
    ctx: typer.Context,
    files: Annotated[
        list[Path], typer.Argument(help="Pictures and recordings of this machine; a SigMF pair is two.", show_default=False)
    ],
    *,
    model: Annotated[
        str, typer.Option(metavar="NAME[@VERSION]", help="May be left out where one is registered.", autocompletion=complete_model)
    ] = "",
    top_k: Annotated[int | None, typer.Option(min=1, max=100, help="Most classes told of each file.")] = None,
    sample_format: Annotated[
        str | None, typer.Option("--format", help="SigMF datatype of samples without a header: cf32_le.")
    ] = None,
    sample_rate: Annotated[float | None, typer.Option(help="In Hz, of recordings that do not tell it.")] = None,
    center_frequency: Annotated[float | None, typer.Option(help="In Hz, of recordings that do not tell it.")] = None,
    deadline_s: Annotated[float | None, typer.Option(min=0.001, help="Seconds after which the answer is of no use.")] = None,
    spectrograms: Annotated[Path | None, typer.Option(help="Folder that a picture of each recording is written to.")] = None,
) -> None:
    """Predict what pictures and recordings show. Exit code 4 where one of them has no prediction."""
    with service(ctx) as client:
        answer = client.predict(
            *files,
            model=model,
            top_k=top_k,
            format=sample_format,
            sample_rate=sample_rate,
            center_frequency=center_frequency,
            deadline_s=deadline_s,
            spectrogram=spectrograms is not None,
        )
    tell(ctx, answer, _tell_answer)
    if spectrograms is not None:
        _write_pictures(as_plain(answer).get("spectrograms") or [], spectrograms)
    if any(row.error for row in answer.predictions):
        raise typer.Exit(ExitCode.TASK_FAILED)


def add_to(app: typer.Typer) -> None:
    """Make this command part of the command line."""
    app.command(cls=ServiceCommand, rich_help_panel="Models")(predict)


def _tell_answer(answer: Any) -> None:
    simulated = ", simulated" if answer.simulated else ""
    say(f"{answer.model}@{answer.version} on {answer.device}{simulated}, {answer.timing.total_ms:.0f} ms")
    rows = [(row.file, row.segment, row.class_name, row.confidence, _others(row.top), row.error) for row in answer.predictions]
    say_sheet(Sheet(("File", "Segment", "Class", "Percent", "Others", "Error"), rows), empty="no predictions")
    if answer.summary:
        summary = [(row.file, row.class_name, row.confidence, row.frames, row.seconds) for row in answer.summary]
        say_sheet(Sheet(("Recording", "Class", "Percent", "Frames", "Seconds"), summary), empty="")


def _others(top: list[Any]) -> str:
    return ", ".join(f"{each.name} {each.confidence:.1f}" for each in top[1:])


def _write_pictures(pictures: list[dict[str, Any]], folder: Path) -> None:
    """Write the picture of each recording beside the others; says where."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for picture in pictures:
            target = folder / f"{Path(picture['file']).name}.png"
            target.write_bytes(base64.b64decode(picture["png_base64"]))
            complain(f"wrote {target}")
    except OSError as error:
        give_up(f"{folder}: {error.strerror}; choose another folder with --spectrograms", ExitCode.BAD_INPUT)
