"""What every command has that asks the service over HTTP: where it is, with which key, and how the answer is printed."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import typer

from cluster.commands.late_options import LateCommand, late_option, late_values

#: Where the service is unless somebody says otherwise.
DEFAULT_URL: Final = "http://127.0.0.1:8000/"
_PANEL: Final = "The service"
_OWN: Final = ("url", "api_key", "as_json")


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to ask, and how to print what is answered."""

    url: str
    api_key: str
    as_json: bool


class ServiceCommand(LateCommand):
    """A command that asks the service."""

    @classmethod
    def late_options(cls) -> list[inspect.Parameter]:
        """--url, --api-key and --json."""
        key_help = "Key for the service; better set than typed, others see commands."
        return [
            late_option(
                "url",
                str,
                DEFAULT_URL,
                flags=("--url",),
                envvar="RFUAV_URL",
                help="Where the service answers.",
                rich_help_panel=_PANEL,
            ),
            late_option("api_key", str, "", flags=("--api-key",), envvar="RFUAV_API_KEY", help=key_help, rich_help_panel=_PANEL),
            late_option("as_json", bool, default=False, flags=("--json",), help="Print JSON, for scripts.", rich_help_panel=_PANEL),
        ]


class RequestCommand(ServiceCommand):
    """A command with an option for each field of a request. ``schema_at`` is ``module:Class``."""

    schema_at = ""

    @classmethod
    def late_options(cls) -> list[inspect.Parameter]:
        """The fields of the request, and what every command has that asks the service."""
        from cluster.commands.request_options import field_options  # noqa: PLC0415 (keeps `rfuav --help` quick)

        return [*field_options(cls.schema()), *super().late_options()]

    @classmethod
    def schema(cls) -> Any:
        """The model of the request."""
        module, _, name = cls.schema_at.partition(":")
        return getattr(import_module(module), name)


def requests(schema_at: str) -> type[RequestCommand]:
    """The kind of command whose options are the fields of a request, given as ``module:Class``."""
    return type("RequestCommandOf", (RequestCommand,), {"schema_at": schema_at})


def asked(ctx: typer.Context) -> Asked:
    """What the options say that every command has which asks the service."""
    values = late_values(ctx)
    return Asked(values["url"], values["api_key"], values["as_json"])


def read_request_of(ctx: typer.Context, file: Path | None, **fields: Any) -> Any:
    """The request that the options, a file and ``fields`` make together; the latter win."""
    from cluster.commands.request_options import read_request  # noqa: PLC0415 (keeps `rfuav --help` quick)

    values = {name: value for name, value in late_values(ctx).items() if name not in _OWN}
    return read_request(ctx.command.schema(), values | fields, file)  # type: ignore[attr-defined]
