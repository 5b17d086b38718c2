"""The web page: its files, for everybody. What the page shows it asks the other routes for, with its user's key."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from serve_app.access import open_to_all
from serve_app.bodies import JsonRoute
from serve_app.context import ServiceDep
from serve_app.page_answer import answer_page_file
from serve_app.page_files import INDEX

router = APIRouter(route_class=JsonRoute, include_in_schema=False)


@router.get("/ui")
@open_to_all
async def get_page(request: Request, service: ServiceDep) -> Response:
    """The page itself."""
    return await answer_page_file(service.page, INDEX, request)


@router.get("/ui/{path:path}")
@open_to_all
async def get_page_file(path: str, request: Request, service: ServiceDep) -> Response:
    """One of the page's files."""
    return await answer_page_file(service.page, path, request)
