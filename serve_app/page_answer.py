"""A file of a page as an answer: not sent again to those who have it, and small for those who take it so."""

import re
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from serve_app.file_work import in_file_thread
from serve_app.page_files import PageFiles

_TAKES_PACKED: Final = re.compile(r"(?:^|,)\s*gzip\s*(?:$|,|;\s*q=(?!0(?:\.0*)?\s*(?:$|,)))", re.IGNORECASE)


async def answer_page_file(files: PageFiles, name: str, request: Request) -> Response:
    """Answer with a file of a page; 304 where the browser holds this very one. Raises HTTPException (404)."""
    file = await in_file_thread(files.read, name)
    if file is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"ETag": file.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if file.packed is not None and _TAKES_PACKED.search(request.headers.get("accept-encoding", "")):
        return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.media_type)
    return Response(file.content, headers=headers, media_type=file.media_type)
