"""``rfuav health``: whether every part of the service answers."""

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
    rows = [(name, each["state"], each.get("latency_ms"), each.get("detail", "")) for name, each in body["components"].items()]
    say_sheet(Sheet(("Part", "State", "Answers in ms", "Tells"), rows), empty="it tells of no parts")
