"""The command ``rfuav``. Parses, calls one function, prints; what is heavy is imported by the command that needs it."""

import contextlib
import dataclasses
import json
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from actors.access import Role
from actors.core.errors import KeyNotFoundError, StoreUnavailableError
from cluster.devices_command import DEFAULT_URL, UrlError, describe, read_devices
from cluster.http_probe import KeyNeededError, NoAnswerError
from configs.settings import Settings, SettingsError, load_settings

#: Exit codes: the service is not up or not healthy; the user's input cannot be used.
NOT_UP = 1
BAD_INPUT = 2
#: The books differ: ``devices --check`` found something.
DIFFERENT = 1

app = typer.Typer(
    help="Train and serve drone-recognition models on a few GPUs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

keys_app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")

StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Folder of the store, logs and run files. Default: ./var")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")]
ApiKeyText = Annotated[
    str, typer.Option("--api-key", envvar="RFUAV_API_KEY", help="Key for the service; better set than typed, others see commands.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command()
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
) -> None:
    """Start the service on this machine and stay until Ctrl-C."""
    overrides = {
        "host": host,
        "port": port,
        "nodes": nodes,
        "simulate_gpus": simulate_gpus,
        "state_dir": state_dir,
        "data_roots": tuple(data_root) if data_root else None,
    }
    settings = _settings(config, **overrides)
    from cluster import lifetime, local, run_record  # noqa: PLC0415 (keeps `rfuav --help` quick)

    try:
        local.up(settings, address=address, detach=detach, say=_say)
    except (SettingsError, local.AlreadyUpError, run_record.StateFolderBusyError) as error:
        _give_up(error, BAD_INPUT)
    except lifetime.BringUpError as error:
        _give_up(error, NOT_UP)


@app.command()
def join(  # noqa: PLR0913 (one parameter per option)
    head: Annotated[str, typer.Argument(help="HOST:PORT of the service's Ray; `rfuav status` there shows it as ray_address.")],
    *,
    state_dir: StateDir = None,
    token_file: Annotated[Path | None, typer.Option(help="Copy of ray_token in the head's state folder.")] = None,
    simulate_gpus: Annotated[int | None, typer.Option(min=0, max=64, help="Logical GPUs that compute on the CPU.")] = None,
    name: Annotated[str, typer.Option(help="Name of this node; the same each time keeps its devices' names.")] = "",
    detach: Annotated[bool, typer.Option("--detach", help="Return when the service knows this node's devices.")] = False,
) -> None:
    """Let this machine join a service that was started with --nodes several; `rfuav down` ends that."""
    settings = _settings(None, state_dir=state_dir)
    from cluster import join as joining  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster import lifetime, run_record  # noqa: PLC0415

    wanted = joining.Joining(head, settings.state_dir, token_file, simulate_gpus, name)
    try:
        joining.join(wanted, detach=detach, say=_say)
    except (SettingsError, run_record.StateFolderBusyError) as error:
        _give_up(error, BAD_INPUT)
    except lifetime.BringUpError as error:
        _give_up(error, NOT_UP)


@app.command()
def down(state_dir: StateDir = None) -> None:
    """End the service and everything that belongs to it."""
    from cluster import bring_down, local, run_record  # noqa: PLC0415 (keeps `rfuav --help` quick)

    settings = _settings(None, state_dir=state_dir)
    try:
        was_up = local.down(settings.state_dir)
    except (run_record.StateFolderBusyError, bring_down.BringDownError) as error:
        _give_up(error, NOT_UP)
    _say("everything has ended" if was_up else f"nothing was up with state folder {settings.state_dir}")


@app.command()
def status(*, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Say whether the service is up and how to reach it; exit code 1 when it is not healthy."""
    from cluster.status import read_status  # noqa: PLC0415 (keeps `rfuav --help` quick)

    found = read_status(_settings(None, state_dir=state_dir).state_dir)
    fields = dataclasses.asdict(found)
    if as_json:
        _say(json.dumps(fields))
    else:
        for name, value in fields.items():
            if value != "":
                _say(f"{name + ':':15} {value}")
    raise typer.Exit(0 if found.is_healthy else NOT_UP)


@app.command()
def env(*, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Print what a shell needs to use the service and its Ray: eval "$(rfuav env)"."""
    from cluster.status import as_shell, shell_exports  # noqa: PLC0415 (keeps `rfuav --help` quick)

    folder = _settings(None, state_dir=state_dir).state_dir
    exports = shell_exports(folder, path=os.environ.get("PATH", ""))
    if exports is None:
        _give_up(f"nothing is up with state folder {folder}; start it with `rfuav up`", NOT_UP)
    _say(json.dumps(dict(exports)) if as_json else as_shell(exports))


@app.command()
def devices(
    *,
    check: Annotated[bool, typer.Option("--check", help="Compare the ledger with Ray and the live processes.")] = False,
    url: Annotated[str, typer.Option(envvar="RFUAV_URL", help="Where the service answers.")] = DEFAULT_URL,
    api_key: ApiKeyText = "",
    as_json: AsJson = False,
) -> None:
    """List the devices with shares, limits and holders; with --check, exit code 1 when the books differ."""
    try:
        report = read_devices(url, with_check=check, api_key=api_key)
    except UrlError as error:
        _give_up(error, BAD_INPUT)
    except KeyNeededError as error:
        _give_up(error, BAD_INPUT)
    except NoAnswerError as error:
        _give_up(f"no answer from {url} ({error}); is it up? see `rfuav status`", NOT_UP)
    if as_json:
        _say(report.as_json())
    else:
        for line in describe(report):
            _say(line)
    raise typer.Exit(0 if report.agrees else DIFFERENT)


@keys_app.command("add")
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

    settings = _settings(config, state_dir=state_dir)
    with _store_trouble():
        try:
            new = keys_command.add_key(settings, name=name, role=role)
        except keys_command.KeyNameError as error:
            _give_up(error, BAD_INPUT)
    if as_json:
        _say(json.dumps(keys_command.as_fields(new.key) | {"key": new.token}))
    else:
        _say(new.token)
        print(f"This is key {new.key.key_id}, role {role.value}. It is kept only as a hash: note it down now.", file=sys.stderr)


@keys_app.command("list")
def list_keys(*, state_dir: StateDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the keys: id, role, day, name."""
    from cluster import keys_command  # noqa: PLC0415 (keeps `rfuav --help` quick)

    settings = _settings(config, state_dir=state_dir)
    with _store_trouble():
        keys = keys_command.list_keys(settings) if keys_command.has_keys(settings) else []
    if as_json:
        _say(json.dumps([keys_command.as_fields(key) for key in keys]))
    else:
        for line in keys_command.describe(keys):
            _say(line)


@keys_app.command("revoke")
def revoke_key(key_id: str, *, state_dir: StateDir = None, config: ConfigFile = None, as_json: AsJson = False) -> None:
    """Take a key back by its id; a running service refuses it within a second."""
    from cluster import keys_command  # noqa: PLC0415 (keeps `rfuav --help` quick)

    settings = _settings(config, state_dir=state_dir)
    with _store_trouble():
        try:
            left = keys_command.revoke_key(settings, key_id)
        except KeyNotFoundError as error:
            _give_up(f"{error}; `rfuav keys list` shows all", BAD_INPUT)
    if as_json:
        _say(json.dumps({"key_id": key_id, "keys_left": left}))
    else:
        _say(
            f"key {key_id} is revoked"
            + ("" if left else "; it was the last: the service needs none now and answers this machine only")
        )


@contextlib.contextmanager
def _store_trouble() -> Iterator[None]:
    """End the command in plain words where the store cannot be used."""
    try:
        yield
    except (StoreUnavailableError, OSError) as error:
        _give_up(error, NOT_UP)


def main() -> None:
    """Run the command line."""
    warnings.showwarning = _show_warning
    app()


def _settings(config: Path | None, **overrides: Any) -> Settings:
    try:
        return load_settings(config, overrides=overrides)
    except SettingsError as error:
        _give_up(error, BAD_INPUT)


def _give_up(error: object, code: int) -> NoReturn:
    print(f"rfuav: {error}", file=sys.stderr, flush=True)
    raise typer.Exit(code)


def _say(line: str) -> None:
    print(line, flush=True)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"rfuav: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
