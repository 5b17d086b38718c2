"""``rfuav data``: look into the data roots of the service, and bring files there."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.output import Sheet, complain, give_up, say, say_json, say_sheet
from cluster.commands.service_command import ServiceCommand, asked
from cluster.commands.transfer import Transfer

app = typer.Typer(help="List the data roots, and upload files to them.", no_args_is_help=True)


@app.command("list", cls=ServiceCommand)
def list_data(
    ctx: typer.Context,
    path: Annotated[
        str | None, typer.Argument(help="A folder, as requests name it; none: the data roots.", show_default=False)
    ] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most entries.")] = 1000,
    cursor: Annotated[str | None, typer.Option(help="next_cursor of the page before.")] = None,
) -> None:
    """List the files and folders in a folder."""
    with service(ctx) as client:
        tell(ctx, client.data(path, limit=limit, cursor=cursor), _tell_page)


@app.command("upload", cls=ServiceCommand)
def upload(
    ctx: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="Files of this machine.", show_default=False)],
    *,
    to: Annotated[str, typer.Option(help="Folder inside a data root; it is made where it is missing.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of these names.")] = False,
) -> None:
    """Put files into a data root; each appears there whole or not at all. With --json one object a line."""
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        give_up(f"no such file on this machine: {', '.join(missing)}", ExitCode.BAD_INPUT)
    is_json = asked(ctx).as_json
    with service(ctx) as client:
        for file in files:
            with Transfer(file.name, is_quiet=is_json) as transfer:
                path = f"{to.rstrip('/')}/{file.name}" if to.rstrip("/") else file.name
                entry = client.upload(file, path, overwrite=overwrite, on_progress=transfer.advance)
            if is_json:
                say_json(entry)
            else:
                say(f"{entry.path}  {entry.size_bytes} bytes")


def _tell_page(page: Any) -> None:
    rows = [(each.path, each.kind.value, each.size_bytes, (each.modified_at or "")[:19].replace("T", " ")) for each in page.entries]
    say_sheet(Sheet(("Path", "Kind", "Bytes", "Modified"), rows), empty="it is empty")
    if page.next_cursor:
        complain(f"there are more: --cursor {page.next_cursor}")
