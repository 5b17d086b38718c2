"""The OpenAPI document as an answer: written once, and not sent again to those who have it."""

import hashlib
import json
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from serve_app.bodies import JSON_TYPE

_COMPONENT: Final = "#/components/schemas/{model}"


def model_reference(model: type[BaseModel]) -> dict[str, str]:
    """What a part of the document says that has a model's form, where FastAPI would say that it is JSON."""
    return {"$ref": _COMPONENT.format(model=model.__name__)}


def add_model(document: dict[str, Any], model: type[BaseModel]) -> None:
    """Describe a model that only ``model_reference`` names, and those that it is made of."""
    schema = model.model_json_schema(ref_template=_COMPONENT, mode="serialization")
    known = document.setdefault("components", {}).setdefault("schemas", {})
    for name, part in {**schema.pop("$defs", {}), model.__name__: schema}.items():
        known.setdefault(name, part)


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
