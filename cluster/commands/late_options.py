"""Options that a command gets only when it is parsed or its help is shown, so that `rfuav --help` need not know them.

Owns how such options are made and where their values are found. It must not know what they mean.
"""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

#: What stands in a context's meta for the values of these options.
_VALUES: Final = "rfuav.late_options"


def late_option(name: str, annotation: Any, default: Any = None, *, flags: Sequence[str] = (), **parts: Any) -> inspect.Parameter:
    """Describe an option.

    Args:
        name: what its value is found by; an identifier.
        annotation: its type, as typer takes it.
        default: its value where it is not given.
        flags: what is typed; by default the name.
        parts: as ``typer.Option`` takes them.
    """
    option = typer.Option(*flags, callback=_keep, expose_value=False, **parts)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, option])


def late_values(ctx: typer.Context) -> dict[str, Any]:
    """The values of the late options of the command that runs, by their names."""
    return dict(ctx.meta.get(_VALUES, {}))


class LateCommand(TyperCommand):
    """A command with the options of ``late_options`` beside those of its function, whose values ``late_values`` gives."""

    _late: list[Any] | None = None

    @classmethod
    def late_options(cls) -> list[inspect.Parameter]:
        """The options that are made late, by ``late_option``. What is heavy is imported here."""
        return []

    def get_params(self, ctx: Any) -> list[Any]:
        """All options, the late ones after those of the function and before --help."""
        if self._late is None:
            self._late = _build(self.late_options())
        return [*self.params, *self._late, *super().get_params(ctx)[len(self.params) :]]


def _build(options: Sequence[inspect.Parameter]) -> list[Any]:
    """Make options of their descriptions, as typer would for a function with these parameters."""

    def holder() -> None:
        """Lend a signature."""

    holder.__signature__ = inspect.Signature(list(options))  # type: ignore[attr-defined]
    scratch = typer.Typer(add_completion=False)
    scratch.command()(holder)
    return list(typer.main.get_command(scratch).params)


def _keep(ctx: typer.Context, param: typer.CallbackParam, value: Any) -> Any:
    ctx.meta.setdefault(_VALUES, {})[param.name] = value
    return value
