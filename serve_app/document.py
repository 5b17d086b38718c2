"""The OpenAPI document as an answer: written once, and not sent again to those who have it."""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from serve_app.bodies import JSON_TYPE


class DocumentAnswer:
    """Answers with the same bytes each time; they are made when they are first asked for."""

    def __init__(self, make_document: Callable[[], dict[str, Any]]) -> None:
        self._make_document = make_document

    async def answer(self, request: Request) -> Response:
        """The document; 304 where the client holds this very one."""
        headers = {"ETag": self._tag, "Cache-Control": "no-cache"}
        if self._tag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(self._content, headers=headers, media_type=JSON_TYPE)

    @cached_property
    def _content(self) -> bytes:
        return json.dumps(self._make_document(), ensure_ascii=False, separators=(",", ":")).encode()

    @cached_property
    def _tag(self) -> str:
        return f'"{hashlib.sha256(self._content).hexdigest()[:32]}"'
