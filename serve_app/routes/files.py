"""What lies in the output folder of a task: listed and downloaded."""

from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from pydantic import Field, StringConstraints
from starlette.responses import Response

from actors.access import Role
from actors.core.errors import SubmissionError
from actors.core.tasks import Task
from actors.files.data_roots import DataRoots, OutsideRootsError
from actors.paths import build_data_roots
from configs.settings import Settings
from serve_app.access import requires
from serve_app.bodies import JsonAnswer, JsonRoute
from serve_app.context import ServiceDep
from serve_app.file_answer import FileAnswer
from serve_app.file_work import in_file_thread
from serve_app.http_errors import error_responses
from serve_app.listing import CURSOR_PATTERN, list_files
from serve_app.routes.lookup import find_task
from serve_app.schemas.data import TaskFilesResponse
from serve_app.schemas.fields import EmptyMeansNone
from serve_app.shape import clean_text
from serve_app.shape_data import file_body

router = APIRouter(route_class=JsonRoute, tags=["tasks"])
Cursor = Annotated[str, StringConstraints(max_length=6000), Field(json_schema_extra={"pattern": CURSOR_PATTERN})]
_CONTENT: Final[dict[str, Any]] = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
_DOWNLOAD_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: _CONTENT | {"description": "The file"},
    206: _CONTENT | {"description": "The range of it that was asked for"},
    **error_responses(400, 403, 404, 416, 422, 503),
}


@router.get("/api/v2/tasks/{task_id}/files", response_model=TaskFilesResponse, responses=error_responses(400, 403, 404, 422, 503))
@requires(Role.VIEWER)
async def list_task_files(
    task_id: str,
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[Cursor | None, EmptyMeansNone, Query(description="next_cursor of the page before")] = None,
) -> Response:
    """The files in the task's output folder, by path; hidden ones and links are left out.

    Whatever else lies in that folder is listed too: a task has no folder of its own unless it was given one.
    """
    task = await find_task(service, task_id)
    return JsonAnswer(await in_file_thread(_read_page, service.settings, task, limit=limit, cursor=cursor))


@router.get("/api/v2/tasks/{task_id}/files/{path:path}", response_class=Response, responses=_DOWNLOAD_RESPONSES)
@requires(Role.VIEWER)
async def download_task_file(task_id: str, path: str, request: Request, service: ServiceDep) -> Response:
    """One file of the task's output folder, whole or the range that is asked for."""
    task = await find_task(service, task_id)
    file = await in_file_thread(_open, service.settings, task, path)
    try:
        return FileAnswer(file, PurePosixPath(path).name, request.headers)
    except BaseException:
        file.close()
        raise


def _read_page(settings: Settings, task: Task, *, limit: int, cursor: str | None) -> TaskFilesResponse:
    roots = build_data_roots(settings)
    files, next_cursor = list_files(_find_output(task, roots), roots, cursor=cursor, limit=limit)
    return TaskFilesResponse(
        task_id=task.task_id,
        output_path=clean_text(task.submission.output_path),
        files=[file_body(each) for each in files],
        next_cursor=next_cursor,
    )


def _open(settings: Settings, task: Task, text: str) -> BufferedReader:
    """Open a visible regular file below the output folder. Raises SubmissionError."""
    roots = build_data_roots(settings)
    output = _find_output(task, roots)
    if any(not part or part.startswith(".") for part in text.split("/")) or "\0" in text:
        raise SubmissionError(
            "path_forbidden", "path", f"{text[:200]!r} is no plain path of visible names", "see the list of files"
        )
    try:
        return roots.only(output).open(output / text)
    except OutsideRootsError:
        message = f"{text!r} leads out of the output folder"
        raise SubmissionError("path_forbidden", "path", message, "see the list of files") from None
    except (OSError, ValueError):
        raise SubmissionError("path_not_found", "path", f"the task has no file {text[:200]!r}", "see the list of files") from None


def _find_output(task: Task, roots: DataRoots) -> Path:
    """The task's output folder. Raises SubmissionError where it leads out of the roots by now."""
    folder = Path(task.submission.resolved.get("output") or roots.folders[0] / task.submission.output_path)
    try:
        return roots.locate(folder)
    except OutsideRootsError as error:
        raise SubmissionError("path_forbidden", "output_path", error.message, error.hint) from None
