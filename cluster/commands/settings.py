"""What commands on this machine share: the options that name the settings, and reading them with errors in plain words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.exits import ExitCode
from cluster.commands.output import give_up

if TYPE_CHECKING:
    from configs.settings import Settings

StateDir = Annotated[Path | None, typer.Option("--state-dir", help="Folder of the store, logs and run files. Default: ./var")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file with settings.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def read_settings(config: Path | None, **overrides: Any) -> "Settings":
    """Read the settings; what cannot be used ends the command with a bad input."""
    from configs.settings import SettingsError, load_settings  # noqa: PLC0415 (keeps `rfuav --help` quick)

    try:
        return load_settings(config, overrides=overrides)
    except SettingsError as error:
        give_up(error, ExitCode.BAD_INPUT)
