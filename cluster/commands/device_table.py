"""The devices with who holds what of them, as a table or as JSON. Knows neither where they were read nor Ray."""

import json
from dataclasses import dataclass
from typing import Any, Final

from cluster.commands.output import Sheet

_HEADINGS: Final = ("DEVICE", "NAME", "SHARE", "HELD", "LEASES", "MEMORY GB", "HELD BY", "STATE")


@dataclass(frozen=True, slots=True)
class DeviceReport:
    """What was read: the body of /api/v2/resources, and that of the check where it was asked for."""

    resources: dict[str, Any]
    check: dict[str, Any] | None = None

    @property
    def gpus(self) -> list[dict[str, Any]]:
        """Every GPU with its memory, as its driver sees it."""
        return list(self.resources["gpu_info"]["devices"])

    @property
    def agrees(self) -> bool:
        """Whether the books agree, as far as anybody asked."""
        return self.check is None or bool(self.check["agrees"])

    def as_json(self) -> str:
        """One JSON object for scripts; ``check`` is null where it was not asked for."""
        chosen = {name: self.resources[name] for name in ("devices", "queue")}
        return json.dumps(chosen | {"gpus": self.gpus, "check": self.check})


def describe(report: DeviceReport) -> list[str]:
    """The lines of a table for people, the line's length, and what the check found."""
    return [*device_sheet(report).as_lines(), *describe_line(report), *_describe_check(report.check)]


def device_sheet(report: DeviceReport) -> Sheet:
    """A row for each device."""
    memory = {each["device_name"]: each for each in report.gpus}
    return Sheet(_HEADINGS, [_row(device, memory.get(device["device"])) for device in report.resources["devices"]])


def describe_line(report: DeviceReport) -> list[str]:
    """How many wait, and for how long."""
    queue = report.resources["queue"]
    return [f"{queue['length']} waiting" + (f", the oldest for {queue['oldest_wait_s']:.0f} s" if queue["length"] else "")]


def _row(device: dict[str, Any], gpu: dict[str, Any] | None) -> tuple[str, ...]:
    counts = [f"{work} {device['usage'].get(work, 0)}/{limit}" for work, limit in device["limits"].items() if limit]
    used = f"{gpu['allocated_memory_gb']:g}/" if gpu else ""
    return (
        device["device"],
        _name(device),
        f"{device['share']:g}",
        f"{device['held']:g}",
        ", ".join(counts) or "none allowed",
        f"{used}{device['memory_gb']:g}",
        ", ".join(_holder(lease) for lease in device["leases"]) or "-",
        _state(device),
    )


def _name(device: dict[str, Any]) -> str:
    """The product's name, which says itself that it is simulated or is told to be."""
    is_said = not device["simulated"] or "simulated" in device["name"]
    return str(device["name"]) if is_said else f"{device['name']} (simulated)"


def _holder(lease: dict[str, Any]) -> str:
    return f"{lease['task_id']} ({lease['type']} {lease['gpu_fraction']:g}, {lease['memory_gb']:g} GB)"


def _state(device: dict[str, Any]) -> str:
    if not device["present"]:
        return "its node is gone"
    return f"quarantined: {device['quarantine']}" if device["quarantine"] else "ok"


def _describe_check(check: dict[str, Any] | None) -> list[str]:
    if check is None:
        return []
    if check["agrees"]:
        return ["check: the ledger, Ray's books and the live processes agree"]
    found = [f"  {each['subject']}: the ledger says {each['ledger']}, found {each['found']}" for each in check["differences"]]
    return ["check: these differ:", *found]
