"""The few questions that bring-up, status and watchdog ask the service over HTTP. Knows nothing of Ray."""

import contextlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

from cluster.service_errors import ApiError, KeyNeededError, NoAnswerError, ServiceError

_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Health:
    """What /api/v1/health said.

    Attributes:
        status: its word, or "unreachable".
        reason: why it is not healthy.
        predictor: how many replicas serve; "" where none do, or a key would be needed to know.
    """

    status: str
    reason: str = ""
    predictor: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether every component answers."""
        return self.status == "healthy"


def get_json(url: str, path: str, *, timeout_s: float = _TIMEOUT_S, api_key: str = "") -> Any:
    """Read a JSON answer. ``url`` ends with a slash, ``path`` begins without.

    Raises:
        KeyNeededError: the service wants a key, or one of another role.
        ApiError: the service refuses otherwise.
        NoAnswerError: nobody answers, or with something else than JSON.
    """
    parts = urlsplit(url)
    # http.client knows no proxies (the service is on this machine) and costs a hundredth of what httpx takes to begin.
    with contextlib.closing(HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)) as connection:
        try:
            connection.request("GET", parts.path + path, headers={"X-API-Key": api_key} if api_key else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            raise NoAnswerError(str(error) or type(error).__name__) from error
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise KeyNeededError(answer.status, "", f"{url}{path} answers {answer.status}")
    if answer.status >= HTTPStatus.BAD_REQUEST:
        raise ApiError(answer.status, "", f"{url}{path} answers")
    try:
        return json.loads(content)
    except ValueError as error:
        raise NoAnswerError(f"{url}{path} does not answer with JSON") from error


def probe_health(url: str) -> Health:
    """Ask for the service's health; never raises."""
    try:
        answer = get_json(url, "api/v1/health")
    except ServiceError as error:
        return Health("unreachable", str(error))
    status = str(answer.get("status", "unknown")) if isinstance(answer, dict) else "unknown"
    parts = answer.get("components", {}) if isinstance(answer, dict) else {}
    predictor = parts.get("predictor", {})
    replicas = str(predictor.get("detail", "")) if predictor.get("state") == "healthy" else ""
    if status == "healthy":
        return Health(status, predictor=replicas)
    ill = [f"{name} is {each.get('state')}" for name, each in parts.items() if each.get("state") != "healthy"]
    return Health(status, ", ".join(ill), replicas)


def describe_devices(url: str) -> list[str]:
    """One line per GPU for people, or one that says there is none."""
    try:
        devices = get_json(url, "api/v2/resources/gpu").get("devices", [])
    except KeyNeededError:
        return ["GPUs: `rfuav devices` lists them, with a key in RFUAV_API_KEY"]
    except (ServiceError, AttributeError) as error:
        return [f"GPUs: unknown ({error})"]
    return [_describe(device) for device in devices] or ["GPUs: none; everything computes on the CPU"]


def _describe(device: dict[str, Any]) -> str:
    mark = " (simulated: computes on the CPU)" if device.get("simulated") else ""
    total, free = device.get("total_memory_gb", 0), device.get("free_memory_gb", 0)
    return f"GPU cuda:{device.get('id')}: {device.get('name')}, {total:g} GB, {free:g} GB free{mark}"
