"""The few questions that bring-up, status and watchdog ask the service over HTTP. Knows nothing of Ray."""

from dataclasses import dataclass
from typing import Any, Final

import httpx

_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Health:
    """What /api/v1/health said: its status word, or "unreachable", and why it is not healthy."""

    status: str
    reason: str = ""

    @property
    def is_healthy(self) -> bool:
        """Whether every component answers."""
        return self.status == "healthy"


def get_json(url: str, path: str, *, timeout_s: float = _TIMEOUT_S) -> Any:
    """Read a JSON answer. ``url`` ends with a slash, ``path`` begins without.

    Raises:
        httpx.HTTPError: nobody answers, or with an error status.
        ValueError: the answer is not JSON.
    """
    # The service is on this machine; a proxy named in the environment is not for it.
    answer = httpx.get(url + path, timeout=timeout_s, trust_env=False)
    answer.raise_for_status()
    return answer.json()


def probe_health(url: str) -> Health:
    """Ask for the service's health; never raises."""
    try:
        answer = get_json(url, "api/v1/health")
    except (httpx.HTTPError, ValueError) as error:
        return Health("unreachable", str(error) or type(error).__name__)
    status = str(answer.get("status", "unknown")) if isinstance(answer, dict) else "unknown"
    if status == "healthy":
        return Health(status)
    parts = answer.get("components", {}) if isinstance(answer, dict) else {}
    ill = [f"{name} is {each.get('state')}" for name, each in parts.items() if each.get("state") != "healthy"]
    return Health(status, ", ".join(ill))


def describe_devices(url: str) -> list[str]:
    """One line per GPU for people, or one that says there is none."""
    try:
        devices = get_json(url, "api/v2/resources/gpu").get("devices", [])
    except (httpx.HTTPError, ValueError, AttributeError) as error:
        return [f"GPUs: unknown ({error})"]
    return [_describe(device) for device in devices] or ["GPUs: none; everything computes on the CPU"]


def _describe(device: dict[str, Any]) -> str:
    mark = " (simulated: computes on the CPU)" if device.get("simulated") else ""
    total, free = device.get("total_memory_gb", 0), device.get("free_memory_gb", 0)
    return f"GPU cuda:{device.get('id')}: {device.get('name')}, {total:g} GB, {free:g} GB free{mark}"
