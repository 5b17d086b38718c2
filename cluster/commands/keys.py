"""``rfuav keys``: API keys in the store itself. Parses and prints; the work is in ``cluster.keys_command``."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Annotated

import typer

from actors.access import Role
from cluster.commands.exits import ExitCode
from cluster.commands.output import give_up, say, say_json
from cluster.commands.settings import AsJson, ConfigFile, StateDir, read_settings

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


@app.command("add")
def add_key(
    *,
    role: Annotated[Role, typer.Option(help="viewer looks, operator also submits and ends, admin also sets limits and keys.")],
    name: Annotated[str, typer.Option(help="Whose it is, or what for.")],
    state_dir: StateDir = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and show it, once. Works whether the service runs or not; a running one knows it within a second."""
    from cluster import keys_command  # noqa: PLC0415 (keeps `rfuav --help` quick)

    settings = read_settings(config, state_dir=state_dir)
    with _store_trouble():
        try:
            new = keys_command.add_key(settings, name=name, role=role)
        except keys_command.KeyNameError as error:
            give_up(error, ExitCode.BAD_INPUT)
    if as_json:
        say_json(keys_command.as_fields(new.key) | {"key": new.token})
    else:
        say(new.token)
        print(f"This is key {new.key.key_id}, role {role.value}. It is kept only as a hash: note it down now.", file=sys.stderr)


@app.command("list")
def list_keys(*, state_dir: StateDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the keys: id, role, day, name."""
    from cluster import keys_command  # noqa: PLC0415 (keeps `rfuav --help` quick)

    settings = read_settings(config, state_dir=state_dir)
    with _store_trouble():
        keys = keys_command.list_keys(settings) if keys_command.has_keys(settings) else []
    if as_json:
        say_json([keys_command.as_fields(key) for key in keys])
    else:
        for line in keys_command.describe(keys, settings):
            say(line)


@app.command("revoke")
def revoke_key(key_id: str, *, state_dir: StateDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Take a key back by its id; a running service refuses it within a second."""
    from actors.core.errors import KeyNotFoundError  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster import keys_command  # noqa: PLC0415

    settings = read_settings(config, state_dir=state_dir)
    with _store_trouble():
        try:
            left = keys_command.revoke_key(settings, key_id)
        except KeyNotFoundError as error:
            give_up(f"{error}; `rfuav keys list` shows all", ExitCode.BAD_INPUT)
    if as_json:
        say_json({"key_id": key_id, "keys_left": left})
    else:
        say(f"key {key_id} is revoked" + ("" if left else f"; it was the last: {keys_command.without_keys(settings)}"))


@contextlib.contextmanager
def _store_trouble() -> Iterator[None]:
    """End the command in plain words where the store cannot be used."""
    from actors.core.errors import StoreUnavailableError  # noqa: PLC0415 (keeps `rfuav --help` quick)

    try:
        yield
    except (StoreUnavailableError, OSError) as error:
        give_up(error, ExitCode.NOT_UP)
