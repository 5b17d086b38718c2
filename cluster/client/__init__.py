"""The Python client: ``Client`` blocks, ``AsyncClient`` awaits; both have the same methods. Needs neither Ray nor torch.

Reads from the top down: ``contract`` is the table of routes, ``submissions`` and the modules named ``..._calls`` describe
the methods, ``flows`` and ``streams`` hold what is decided on the way, and the two clients do no more than perform it.
"""

from cluster.client.async_client import AsyncClient
from cluster.client.event_reader import ServiceEvent
from cluster.client.log_readers import Metrics
from cluster.client.retry import NEVER, Retry
from cluster.client.sync_client import Client
from cluster.service_errors import (
    ApiError,
    BrokenTransferError,
    InvalidRequestError,
    KeyNeededError,
    NoAnswerError,
    ServiceError,
    UnreachableError,
    WaitEndedError,
)
from serve_app.schemas.events import ModelsEvent, ResetEvent, ResourcesEvent, TaskDeletedEvent, TaskEvent

__all__ = [
    "NEVER",
    "ApiError",
    "AsyncClient",
    "BrokenTransferError",
    "Client",
    "InvalidRequestError",
    "KeyNeededError",
    "Metrics",
    "ModelsEvent",
    "NoAnswerError",
    "ResetEvent",
    "ResourcesEvent",
    "Retry",
    "ServiceError",
    "ServiceEvent",
    "TaskDeletedEvent",
    "TaskEvent",
    "UnreachableError",
    "WaitEndedError",
]
