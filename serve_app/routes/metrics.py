"""What the service is measured by: figures for a Prometheus."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from actors.access import Role
from serve_app.access import requires
from serve_app.bodies import JsonRoute
from serve_app.context import ServiceDep
from serve_app.http_errors import error_responses
from serve_app.metrics import METRICS_TYPE, metrics_text
from serve_app.ports import NotReadyError

router = APIRouter(route_class=JsonRoute, tags=["system"])
#: A collector gives up after some seconds; a component that takes longer than this is away, as far as figures go.
MOST_WAIT_S = 1.5

METRICS_RESPONSES = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **error_responses(400)}

Answer = TypeVar("Answer")


@router.get("/metrics", response_class=Response, responses=METRICS_RESPONSES)
@requires(Role.VIEWER)
async def get_metrics(service: ServiceDep) -> Response:
    """Devices, leases, the line, waits, attempts, requests and predictions. Always 200: rfuav_up tells what is missing."""
    ports = service.ports
    view, counters = await asyncio.gather(_in_time(ports.resources.view()), _in_time(ports.tasks.counters()))
    tally = service.predictions.tally
    if (table := service.models.current) is not None:
        tally.forget_others({each.served.key for entry in table.models.values() for each in entry.versions.values()})
    return Response(metrics_text(view, counters, service.requests, tally), media_type=METRICS_TYPE)


async def _in_time(answer: Awaitable[Answer]) -> Answer | None:
    """The answer, or None where none comes in time."""
    try:
        return await asyncio.wait_for(answer, MOST_WAIT_S)
    except (NotReadyError, TimeoutError):
        return None
