"""``rfuav limits``: how many tasks of a kind may run at once on a device."""

from typing import Annotated, Any

import typer

from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.output import Sheet, as_plain, give_up, say, say_sheet
from cluster.commands.service_command import ServiceCommand

app = typer.Typer(help="Show and set how many tasks may run at once on a device.", no_args_is_help=True)

_KINDS = ("training", "inference", "preprocessing")


@app.command("show", cls=ServiceCommand)
def show_limits(ctx: typer.Context) -> None:
    """Show what is used and allowed on each device."""
    with service(ctx) as client:
        devices = client.resources().devices
    answer = {each.device: {"limits": each.limits, "usage": each.usage} for each in devices}
    tell(ctx, answer, _tell_limits)


@app.command("set", cls=ServiceCommand)
def set_limits(
    ctx: typer.Context,
    device: Annotated[
        str, typer.Argument(help="cuda (all GPUs), cpu (all CPUs) or one device such as cuda:1.", show_default=False)
    ],
    wishes: Annotated[
        list[str], typer.Argument(metavar="KIND=NUMBER...", help="Such as training=2 inference=4.", show_default=False)
    ],
) -> None:
    """Change limits; they hold at once for what waits and over restarts, and what is not named stays."""
    with service(ctx) as client:
        answer = client.set_limits({device: dict(_read_wish(wish) for wish in wishes)})
    tell(ctx, answer, _tell_changed)


def _read_wish(text: str) -> tuple[str, int]:
    kind, _, number = text.partition("=")
    if kind not in _KINDS or not (number.isascii() and number.isdigit()):
        give_up(
            f"{text!r}: write {', '.join(f'{each}=N' for each in _KINDS[:-1])} or {_KINDS[-1]}=N, with a whole number",
            ExitCode.BAD_INPUT,
        )
    return kind, int(number)


def _tell_limits(answer: Any) -> None:
    rows = [
        (device, *(f"{each['usage'].get(kind, 0)}/{each['limits'][kind]}" if kind in each["limits"] else "-" for kind in _KINDS))
        for device, each in answer.items()
    ]
    say_sheet(Sheet(("Device", *(kind.capitalize() for kind in _KINDS)), rows), empty="no devices")


def _tell_changed(answer: Any) -> None:
    say(answer.message)
    rows = [(device, *(each.get(kind) for kind in _KINDS)) for device, each in as_plain(answer)["current_config"].items()]
    say_sheet(Sheet(("Device", *(kind.capitalize() for kind in _KINDS)), rows), empty="no limits")
