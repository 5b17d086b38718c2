"""The web page: its files, for everybody. What the page shows it asks the other routes for, with its user's key."""

import re
from http import HTTPStatus
from typing import Final

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serve_app.access import open_to_all
from serve_app.bodies import JsonRoute
from serve_app.context import ServiceDep
from serve_app.file_work import in_file_thread
from serve_app.page_files import INDEX

router = APIRouter(route_class=JsonRoute, include_in_schema=False)
_TAKES_PACKED: Final = re.compile(r"(?:^|,)\s*gzip\s*(?:$|,|;\s*q=(?!0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)


@router.get("/ui")
@open_to_all
async def get_page(request: Request, service: ServiceDep) -> Response:
    """The page itself."""
    return await _answer_file(INDEX, request, service)


@router.get("/ui/{path:path}")
@open_to_all
async def get_page_file(path: str, request: Request, service: ServiceDep) -> Response:
    """One of the page's files; 304 where the browser holds this very one."""
    return await _answer_file(path, request, service)


async def _answer_file(name: str, request: Request, service: ServiceDep) -> Response:
    file = await in_file_thread(service.page.read, name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if file.packed is not None and _TAKES_PACKED.search(request.headers.get("accept-encoding", "")):
        return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)
