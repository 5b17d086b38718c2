"""``rfuav up``, ``join``, ``down``, ``status``, ``env``: the service on this machine. Each parses, calls one function and prints."""

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from cluster.commands.exits import ExitCode
from cluster.commands.output import give_up, say, say_json, say_progress
from cluster.commands.settings import AsJson, ConfigFile, StateDir, read_settings


def up(  # noqa: PLR0913 (one parameter per option)
    host: Annotated[str | None, typer.Option(help="Address that HTTP listens on. Default: 127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(help="Port that HTTP listens on. Default: 8000")] = None,
    *,
    nodes: Annotated[
        str | None, typer.Option(help="several: other machines may join, HTTP comes through HAProxy. Default: one")
    ] = None,
    simulate_gpus: Annotated[int | None, typer.Option(help="Logical GPUs that compute on the CPU.")] = None,
    state_dir: StateDir = None,
    data_root: Annotated[list[Path] | None, typer.Option(help="Folder that requests may use; repeatable. Default: .")] = None,
    config: ConfigFile = None,
    address: Annotated[str | None, typer.Option(help="host:port of a running Ray to use instead of starting one.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service is ready.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the service on this machine and stay until Ctrl-C."""
    _refuse_json_in_foreground(as_json=as_json, detach=detach)
    overrides = {
        "host": host,
        "port": port,
        "nodes": nodes,
        "simulate_gpus": simulate_gpus,
        "state_dir": state_dir,
        "data_roots": tuple(data_root) if data_root else None,
    }
    settings = read_settings(config, **overrides)
    from cluster import lifetime, local, run_record  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from configs.settings import SettingsError  # noqa: PLC0415

    try:
        local.up(settings, address=address, detach=detach, say=say_progress if as_json else say)
    except (SettingsError, local.AlreadyUpError, run_record.StateFolderBusyError) as error:
        give_up(error, ExitCode.BAD_INPUT)
    except lifetime.BringUpError as error:
        give_up(error, ExitCode.NOT_UP)
    if as_json:
        _say_where(settings.state_dir)


def join(  # noqa: PLR0913 (one parameter per option)
    head: Annotated[str, typer.Argument(help="HOST:PORT of the service's Ray; `rfuav status` there shows it as ray_address.")],
    *,
    state_dir: StateDir = None,
    token_file: Annotated[Path | None, typer.Option(help="Copy of ray_token in the head's state folder.")] = None,
    simulate_gpus: Annotated[int | None, typer.Option(min=0, max=64, help="Logical GPUs that compute on the CPU.")] = None,
    name: Annotated[str, typer.Option(help="Name of this node; the same each time keeps its devices' names.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service knows this node's devices.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let this machine join a service that was started with --nodes several; `rfuav down` ends that."""
    _refuse_json_in_foreground(as_json=as_json, detach=detach)
    settings = read_settings(None, state_dir=state_dir)
    from cluster import join as joining  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster import lifetime, run_record  # noqa: PLC0415
    from configs.settings import SettingsError  # noqa: PLC0415

    wanted = joining.Joining(head, settings.state_dir, token_file, simulate_gpus, name)
    try:
        joining.join(wanted, detach=detach, say=say_progress if as_json else say)
    except (SettingsError, run_record.StateFolderBusyError) as error:
        give_up(error, ExitCode.BAD_INPUT)
    except lifetime.BringUpError as error:
        give_up(error, ExitCode.NOT_UP)
    if as_json:
        _say_where(settings.state_dir)


def down(*, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """End the service and everything that belongs to it."""
    from cluster import bring_down, local, run_record  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster.status import read_where  # noqa: PLC0415

    settings = read_settings(None, state_dir=state_dir)
    where = read_where(settings.state_dir)
    try:
        was_up = local.down(settings.state_dir)
    except (run_record.StateFolderBusyError, bring_down.BringDownError) as error:
        give_up(error, ExitCode.NOT_UP)
    if as_json:
        say_json({"was_up": was_up, **where})
        return
    say("everything has ended" if was_up else f"nothing was up with state folder {settings.state_dir}")


def status(*, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Say whether the service is up and how to reach it; exit code 1 when it is not healthy."""
    from cluster.status import read_status  # noqa: PLC0415 (keeps `rfuav --help` quick)

    found = read_status(read_settings(None, state_dir=state_dir).state_dir)
    fields = dataclasses.asdict(found)
    if as_json:
        say_json(fields)
    else:
        for name, value in fields.items():
            if value != "":
                say(f"{name + ':':15} {value}")
    raise typer.Exit(ExitCode.OK if found.is_healthy else ExitCode.NOT_UP)


def env(*, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Print what a shell needs to use the service and its Ray: eval "$(rfuav env)"."""
    from cluster.status import as_shell, shell_exports  # noqa: PLC0415 (keeps `rfuav --help` quick)

    folder = read_settings(None, state_dir=state_dir).state_dir
    exports = shell_exports(folder, path=os.environ.get("PATH", ""))
    if exports is None:
        give_up(f"nothing is up with state folder {folder}; start it with `rfuav up`", ExitCode.NOT_UP)
    if as_json:
        say_json(dict(exports))
    else:
        say(as_shell(exports))


def _refuse_json_in_foreground(*, as_json: bool, detach: bool) -> None:
    """One object is for what comes to an end; what stays in the foreground does not."""
    if as_json and not detach:
        give_up("--json tells where the service is once it is ready: give it with --detach", ExitCode.BAD_INPUT)


def _say_where(state_dir: Path) -> None:
    from cluster.status import read_where  # noqa: PLC0415 (keeps `rfuav --help` quick)

    say_json(read_where(state_dir))


def add_to(app: typer.Typer) -> None:
    """Make these commands part of the command line."""
    for command in (up, join, down, status, env):
        app.command(rich_help_panel="The service")(command)
