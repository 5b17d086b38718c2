"""``rfuav devices``: who holds what of which device, once or live. The table itself is in ``device_table``."""

import contextlib
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cluster.commands.connection import service
from cluster.commands.device_table import DeviceReport, describe, describe_line, device_sheet
from cluster.commands.exits import ExitCode
from cluster.commands.output import as_plain, give_up, is_terminal, rich_table, say
from cluster.commands.service_command import ServiceCommand, asked

if TYPE_CHECKING:
    from cluster.client import Client
    from serve_app.schemas.resources import CheckResponse, ResourceResponse

#: How often the devices are asked for where the service streams no events.
_LOOK_S: Final = 1.0
_NO_STREAM: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED)


def devices(
    ctx: typer.Context,
    *,
    check: Annotated[bool, typer.Option("--check", help="Compare the ledger with Ray and the live processes.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Show every change until Ctrl-C.")] = False,
) -> None:
    """List the devices with shares, limits and holders; with --check, exit code 1 when the books differ."""
    if watch and check:
        give_up("--check compares once: give it without --watch", ExitCode.BAD_INPUT)
    if watch:
        _watch(ctx)
        return
    with service(ctx) as client:
        report = _report(client.resources(), client.check_books() if check else None)
    if asked(ctx).as_json:
        say(report.as_json())
    else:
        for line in describe(report):
            say(line)
    raise typer.Exit(ExitCode.OK if report.agrees else ExitCode.NOT_UP)


def add_to(app: typer.Typer) -> None:
    """Make this command part of the command line."""
    app.command(cls=ServiceCommand, rich_help_panel="The service")(devices)


def _watch(ctx: typer.Context) -> None:
    with service(ctx) as client, contextlib.suppress(KeyboardInterrupt):
        reports = _changes(client)
        if asked(ctx).as_json:
            for report in reports:
                say(report.as_json())
        elif is_terminal():
            _draw(reports)
        else:
            for report in reports:
                for line in [*describe(report), ""]:
                    say(line)


def _changes(client: "Client") -> Iterator[DeviceReport]:
    """The devices now, and then whenever they look different, without an end."""
    last: Any = None
    for resources in _stream(client):
        report = _report(resources)
        if report != last:
            yield report
        last = report


def _stream(client: "Client") -> Iterator["ResourceResponse"]:
    """The devices as the service streams them, or as often as is decent where it streams nothing."""
    from cluster.service_errors import ApiError  # noqa: PLC0415 (keeps `rfuav --help` quick)

    yield client.resources()  # Says at once where nobody answers, while a stream is asked for patiently.
    try:
        for event in client.events():
            if event.kind == "resources":
                yield event.resources
    except ApiError as error:
        if error.status not in _NO_STREAM:
            raise
    pause = threading.Event()
    while not pause.wait(_LOOK_S):
        yield client.resources()


def _report(resources: "ResourceResponse", check: "CheckResponse | None" = None) -> DeviceReport:
    return DeviceReport(as_plain(resources), None if check is None else as_plain(check))


def _draw(reports: Iterator[DeviceReport]) -> None:
    """Redraw the table in place at every change."""
    from rich.console import Console, Group  # noqa: PLC0415 (what is redirected needs none of it)
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(console=Console(highlight=False), auto_refresh=False) as live:
        for report in reports:
            lines = [Text(line) for line in (*describe_line(report), "Ctrl-C ends")]
            live.update(Group(rich_table(device_sheet(report)), *lines), refresh=True)
