"""The data roots: look into their folders, and put files there."""

import os
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field, StringConstraints
from starlette.responses import Response

from actors.access import Role
from actors.core.errors import SubmissionError
from actors.files.data_roots import DataRoots, OutsideRootsError
from actors.paths import build_data_roots, resolve_existing
from configs.settings import Settings
from serve_app.access import SUBJECT, GuardedRoute, requires
from serve_app.bodies import PICTURE_TYPES, JsonAnswer, JsonRoute, announced_size, media_type_of
from serve_app.context import ServiceDep
from serve_app.file_work import in_file_thread
from serve_app.http_errors import STATUS_OF_SUBMISSION, RequestRefusedError, error_responses
from serve_app.listing import CURSOR_PATTERN, describe, list_folder
from serve_app.receiving import BodyLimit
from serve_app.schemas.data import DataEntry, DataResponse
from serve_app.schemas.fields import EmptyMeansNone, PathText
from serve_app.shape_data import data_entry, data_response, root_entries
from serve_app.uploads import Upload, receive, upload_limit

#: None of them can be sent by a page of another site without that browser asking first.
UPLOAD_TYPES: Final = ("application/octet-stream", *PICTURE_TYPES)
_UPLOAD_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in UPLOAD_TYPES},
    }
}

router = APIRouter(route_class=JsonRoute, tags=["data"])
#: Bodies that are no JSON.
uploads = APIRouter(route_class=GuardedRoute, tags=["data"])

Cursor = Annotated[str, StringConstraints(max_length=1000), Field(json_schema_extra={"pattern": CURSOR_PATTERN})]


@router.get("/api/v2/data", response_model=DataResponse, responses=error_responses(400, 403, 404, 422))
@requires(Role.VIEWER)
async def list_data(
    service: ServiceDep,
    path: Annotated[PathText | None, EmptyMeansNone, Query(description="a folder; none lists the data roots")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[Cursor | None, EmptyMeansNone, Query(description="next_cursor of the page before")] = None,
) -> Response:
    """The files and folders in a folder, hidden ones left out."""
    return JsonAnswer(await in_file_thread(_read_page, service.settings, path, limit=limit, cursor=cursor))


@uploads.post(
    "/api/v2/data",
    response_model=DataEntry,
    responses=error_responses(400, 403, 409, 413, 415, 422, 503),
    openapi_extra=_UPLOAD_BODY,
)
@requires(Role.OPERATOR, action="upload")
async def upload_file(
    request: Request,
    service: ServiceDep,
    path: Annotated[PathText, Query(description="the file to be; folders that are missing are made")],
    overwrite: Annotated[bool, Query(description="whether a file of that name may be replaced")] = False,  # noqa: FBT002 - a query field
) -> Response:
    """Put the body into a file. It appears whole or not at all."""
    request.scope[SUBJECT] = path
    limit = upload_limit(service.settings)
    _check_headers(request, limit)
    upload = await in_file_thread(_begin, service.settings, path, is_overwriting=overwrite)
    try:
        await in_file_thread(upload.check_room, announced_size(request))
        await receive(request, upload, limit=limit)
        await in_file_thread(upload.publish)
        return JsonAnswer(await in_file_thread(_describe_new, service.settings, upload))
    finally:
        await in_file_thread(upload.close)


def _read_page(settings: Settings, text: str | None, *, limit: int, cursor: str | None) -> DataResponse:
    roots = build_data_roots(settings)
    if text is None:
        return DataResponse(path=None, parent=None, entries=root_entries(roots), next_cursor=None)
    try:
        folder = resolve_existing(text, "path", roots)
        entries, next_cursor = list_folder(folder, roots, cursor=cursor, limit=limit)
    except SubmissionError as error:
        raise _in_query(error) from None
    except NotADirectoryError:
        raise _in_query(SubmissionError("invalid_path", "path", f"{text!r} is a file", "name a folder")) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise SubmissionError("path_forbidden", "path", f"{text!r} cannot be read: {reason}", "check its rights") from None
    return data_response(folder, entries, next_cursor, roots)


def _begin(settings: Settings, text: str, *, is_overwriting: bool) -> Upload:
    try:
        return Upload(text, build_data_roots(settings), is_overwriting=is_overwriting)
    except SubmissionError as error:
        raise _in_query(error) from None
    except OutsideRootsError as error:
        raise SubmissionError("path_forbidden", "path", f"{text!r} is outside the data roots", error.hint) from None


def _describe_new(settings: Settings, upload: Upload) -> DataEntry:
    roots: DataRoots = build_data_roots(settings)
    return data_entry(describe(upload.target, roots), roots)


def _check_headers(request: Request, limit: BodyLimit) -> None:
    kind = media_type_of(request)
    if kind not in UPLOAD_TYPES:
        message = (
            f"the body must be the file itself, as {' or '.join(UPLOAD_TYPES[:2])} or another picture type, not {kind[:100]!r}"
        )
        raise RequestRefusedError(415, "unsupported_media_type", message)
    limit.check_announced(request)


def _in_query(error: SubmissionError) -> Exception:
    """The error of a path in the query: what would be a wrong field of a body is a wrong parameter."""
    if error.code in STATUS_OF_SUBMISSION:
        return error
    message = f"{error.message} ({error.hint})"
    return RequestValidationError([{"type": error.code, "loc": ("query", error.field), "msg": message}])
