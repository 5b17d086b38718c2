"""What a shell completes from the running service: task ids and model names. Silent and quick where it is down."""

from collections.abc import Iterator
from typing import Any, Final

import typer

from cluster.commands.late_options import late_values
from cluster.commands.service_command import DEFAULT_URL

#: Longer nobody waits for a completion.
_TIMEOUT_S: Final = 1.0
_MOST_TASKS: Final = 200


def complete_task_id(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The newest tasks whose ids begin so, with kind and status."""
    page = _ask(ctx, f"api/v2/tasks?limit={_MOST_TASKS}")
    tasks = [task for kind in ("training_tasks", "inference_tasks", "preprocessing_tasks") for task in page.get(kind, [])]
    return [(task["task_id"], f"{task['task_type']}, {task['status']}") for task in tasks if task["task_id"].startswith(incomplete)]


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """The models, their versions and aliases that begin so: NAME, NAME@VERSION, NAME@ALIAS."""
    return [name for name in _references(ctx) if name.startswith(incomplete)]


def complete_model_name(ctx: typer.Context, incomplete: str) -> list[str]:
    """The models whose names begin so."""
    return [name for name in _references(ctx) if "@" not in name and name.startswith(incomplete)]


def _references(ctx: typer.Context) -> Iterator[str]:
    for model in _ask(ctx, "api/v2/models").get("models", []):
        yield model["name"]
        yield from (f"{model['name']}@{version['version']}" for version in model["versions"])
        yield from (f"{model['name']}@{alias}" for alias in model["aliases"])


def _ask(ctx: typer.Context, path: str) -> dict[str, Any]:
    """What the service answers; nothing where it does not, which is no reason to disturb a prompt."""
    from cluster.http_probe import get_json  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster.service_errors import ServiceError  # noqa: PLC0415

    values = late_values(ctx)
    url = str(values.get("url") or DEFAULT_URL).rstrip("/") + "/"
    try:
        answer = get_json(url, path, timeout_s=_TIMEOUT_S, api_key=str(values.get("api_key") or ""))
    except (ServiceError, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}
