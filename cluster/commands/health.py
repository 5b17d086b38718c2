"""``rfuav health``: whether every part of the service answers, since when it is so, and how often it began anew."""

from typing import Any

import typer

from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.output import Sheet, as_plain, say, say_sheet
from cluster.commands.service_command import ServiceCommand


def health(ctx: typer.Context) -> None:
    """Say how each part of the service is; exit code 1 unless all are healthy."""
    with service(ctx) as client:
        answer = client.health()
    tell(ctx, answer, _tell_health)
    raise typer.Exit(ExitCode.OK if answer.status == "healthy" else ExitCode.NOT_UP)


def add_to(app: typer.Typer) -> None:
    """Make this command part of the command line."""
    app.command(cls=ServiceCommand, rich_help_panel="The service")(health)


def _tell_health(answer: Any) -> None:
    body = as_plain(answer)
    say(f"{body['status']}" + (f", version {body['version']}" if "version" in body else ""))
    rows = [_row(name, each) for name, each in body["components"].items()]
    headings = ("Part", "State", "Since", "Restarts in 10 min", "Answers in ms", "Tells")
    say_sheet(Sheet(headings, rows), empty="it tells of no parts")


def _row(name: str, part: dict[str, Any]) -> tuple[object, ...]:
    """The cells of one part; without a key the service tells its state alone."""
    since = part["since"][:19].replace("T", " ") if "since" in part else None
    return name, part["state"], since, part.get("restarts"), part.get("latency_ms"), part.get("detail", "")
