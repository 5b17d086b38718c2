"""The command ``rfuav``: puts the commands together. Each group is a module of ``cluster.commands``."""

import sys
import warnings

import typer

from cluster.commands import (
    batches,
    data,
    devices,
    doctor,
    health,
    keys,
    limits,
    models,
    predict,
    service,
    submit,
    task_files,
    tasks,
)
from cluster.commands.exits import EPILOG

app = typer.Typer(
    help="Train and serve drone-recognition models on a few GPUs.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
service.add_to(app)
doctor.add_to(app)
health.add_to(app)
devices.add_to(app)
app.add_typer(limits.app, name="limits", rich_help_panel="The service")
app.add_typer(keys.app, name="keys", rich_help_panel="The service")
submit.add_to(app)
batches.add_to(app)
task_files.add_to(tasks.app)
app.add_typer(tasks.app, name="tasks", rich_help_panel="Tasks")
app.add_typer(models.app, name="models", rich_help_panel="Models")
predict.add_to(app)
app.add_typer(data.app, name="data", rich_help_panel="Data")


def main() -> None:
    """Run the command line."""
    warnings.showwarning = _show_warning
    app()


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"rfuav: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    main()
