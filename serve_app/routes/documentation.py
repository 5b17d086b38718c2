"""The documentation of the API as pages, which need no other host: where a service stands there may be no network."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve_app.access import open_to_all
from serve_app.bodies import JsonRoute
from serve_app.context import ServiceDep
from serve_app.page_answer import answer_page_file

router = APIRouter(route_class=JsonRoute, include_in_schema=False)


@router.get("/docs")
@open_to_all
async def get_docs(request: Request, service: ServiceDep) -> Response:
    """Every route, to be tried out."""
    return await answer_page_file(service.documentation, "docs.html", request)


@router.get("/redoc")
@open_to_all
async def get_redoc(request: Request, service: ServiceDep) -> Response:
    """Every route, to be read."""
    return await answer_page_file(service.documentation, "redoc.html", request)


@router.get("/docs/{path:path}")
@open_to_all
async def get_docs_file(path: str, request: Request, service: ServiceDep) -> Response:
    """What the pages of the documentation load."""
    return await answer_page_file(service.documentation, path, request)
