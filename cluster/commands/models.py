"""``rfuav models``: the model registry: look, register, promote, roll back, compare, delete."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.commands.completion import complete_model, complete_model_name
from cluster.commands.connection import service, tell
from cluster.commands.exits import ExitCode
from cluster.commands.output import Sheet, as_plain, give_up, say, say_fields, say_sheet
from cluster.commands.service_command import ServiceCommand, read_request_of, requests
from cluster.commands.submit import RequestFile

if TYPE_CHECKING:
    from serve_app.schemas.models import ModelResponse

app = typer.Typer(help="Register, promote, compare and delete models.", no_args_is_help=True)

ModelName = Annotated[str, typer.Argument(help="Of a registered model.", autocompletion=complete_model_name, show_default=False)]
Reference = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="Or NAME@ALIAS.", autocompletion=complete_model, show_default=False)
]
Alias = Annotated[str, typer.Option(help="What means the version.")]
#: What the bare name of a model means.
_PRODUCTION = "production"


@app.command("list", cls=ServiceCommand)
def list_models(ctx: typer.Context) -> None:
    """List all models with their versions and aliases."""
    with service(ctx) as client:
        tell(ctx, client.models(), _tell_models)


@app.command("show", cls=ServiceCommand)
def show_model(ctx: typer.Context, reference: Reference) -> None:
    """Show a model with its versions, or one version with its card."""
    name, _, version = reference.partition("@")
    with service(ctx) as client:
        if version:
            tell(ctx, client.version(name, version), lambda answer: say_fields(as_plain(answer)))
        else:
            tell(ctx, client.model(name), lambda answer: _tell_versions([answer]))


@app.command("register", cls=requests("serve_app.schemas.models:RegisterRequest"))
def register(ctx: typer.Context, *, file: RequestFile = None) -> None:
    """Keep a new version: of a finished training, or of a weights file with its configuration."""
    request = read_request_of(ctx, file)
    with service(ctx) as client:
        tell(ctx, client.register(request), _tell_registered)


@app.command("promote", cls=ServiceCommand)
def promote(
    ctx: typer.Context,
    name: ModelName,
    version: Annotated[int, typer.Argument(help="Which is to be meant.", min=1, show_default=False)],
    *,
    alias: Alias = _PRODUCTION,
) -> None:
    """Let an alias mean a version, once all replicas are ready for it; no request fails meanwhile."""
    with service(ctx) as client:
        tell(ctx, client.promote(name, alias, version), lambda answer: _tell_alias(answer, alias))


@app.command("rollback", cls=ServiceCommand)
def rollback(ctx: typer.Context, name: ModelName, *, alias: Alias = _PRODUCTION) -> None:
    """Let an alias mean the version before the one that it means now."""
    with service(ctx) as client:
        version = _version_before(client.model(name), alias)
        tell(ctx, client.promote(name, alias, version), lambda answer: _tell_alias(answer, alias))


@app.command("unalias", cls=ServiceCommand)
def unalias(ctx: typer.Context, name: ModelName, alias: Annotated[str, typer.Argument(show_default=False)]) -> None:
    """Let an alias mean nothing; its version stays."""
    with service(ctx) as client:
        tell(ctx, client.remove_alias(name, alias), lambda _: say(f"{name}@{alias} means nothing now"))


@app.command("delete", cls=ServiceCommand)
def delete(
    ctx: typer.Context,
    reference: Reference,
    *,
    every: Annotated[bool, typer.Option("--all", help="Delete the model with all its versions.")] = False,
) -> None:
    """Forget a version, or with --all a model; refused while an alias means it."""
    name, _, version = reference.partition("@")
    if bool(version) == every:
        give_up(f"name one version as {name}@VERSION, or give --all to delete {name} with all its versions", ExitCode.BAD_INPUT)
    with service(ctx) as client:
        answer = client.delete_version(name, version) if version else client.delete_model(name)
        tell(ctx, answer, lambda said: say(said.message))


@app.command("compare", cls=ServiceCommand)
def compare(
    ctx: typer.Context,
    references: Annotated[
        list[str] | None, typer.Argument(metavar="NAME[@VERSION]...", autocompletion=complete_model, show_default=False)
    ] = None,
    *,
    task: Annotated[list[str] | None, typer.Option(help="A training's task; repeatable.")] = None,
) -> None:
    """Show versions and trainings side by side: what differs in their parameters, and their metrics."""
    with service(ctx) as client:
        tell(ctx, client.compare(models=references or [], tasks=task or []), _tell_comparison)


def _version_before(model: "ModelResponse", alias: str) -> int:
    """The newest version older than the one that an alias means; where there is none the command ends."""
    current = model.aliases.get(alias)
    if current is None:
        give_up(f"{model.name} has no alias {alias}; `rfuav models show {model.name}` lists them", ExitCode.NOT_FOUND)
    older = [each.version for each in model.versions if each.version < current]
    if not older:
        give_up(f"{model.name}@{alias} means version {current}, and there is none before it", ExitCode.CONFLICT)
    return max(older)


def _tell_models(answer: Any) -> None:
    _tell_versions(answer.models)


def _tell_versions(models: list[Any]) -> None:
    rows = [
        (
            f"{model.name}@{each.version}",
            each.aliases,
            "yes" if each.version == model.default_version else "",
            each.model_card.architecture,
            each.model_card.num_classes,
            each.metrics.get("val_acc"),
            each.metrics.get("macro_f1"),
            each.created_at[:10],
            "; ".join(filter(None, [each.description, *each.warnings])),
        )
        for model in models
        for each in model.versions
    ]
    headings = ("Model", "Aliases", "Default", "Network", "Classes", "Val acc", "Macro F1", "Created", "Tells")
    say_sheet(Sheet(headings, rows), empty="no models; `rfuav models register` keeps one")


def _tell_registered(answer: Any) -> None:
    say(f"{answer.name}@{answer.version} is kept" + (f", aliases {', '.join(answer.aliases)}" if answer.aliases else ""))
    for warning in answer.warnings:
        say(f"note: {warning}")


def _tell_alias(answer: Any, alias: str) -> None:
    say(f"{answer.name}@{alias} means version {answer.aliases[alias]} now")


def _tell_comparison(answer: Any) -> None:
    names = [column.id for column in answer.columns]
    rows = [(f"{name} *", *answer.parameters[name]) for name in answer.differing]
    rows += [(name, *values) for name, values in answer.metrics.items()]
    say_sheet(Sheet(("", *names), rows), empty="nothing to compare")
    if answer.differing:
        say("* a parameter that differs")
