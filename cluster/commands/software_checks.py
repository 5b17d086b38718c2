"""Checks of ``rfuav doctor`` about programs and packages: Python, the lock, torch, the GPU driver. Each takes its probes as arguments."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from cluster.commands.findings import Finding, fail, ok, warn

_LEAST_PYTHON: Final = (3, 11)
#: Importing torch from a cold disk takes tens of seconds.
_TORCH_DEADLINE_S: Final = 120.0
_MOST_NAMED: Final = 5
_SETUP: Final = "run `make setup`, or pip install --requirement configs/requirements.lock"
_PINNED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)")


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child process ended."""

    code: int
    stdout: str
    stderr: str


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """Whether Python is new enough."""
    text = ".".join(map(str, version))
    if version < _LEAST_PYTHON:
        return fail("python", f"Python {text} is too old", "make the environment with Python 3.11 or newer: make setup PYTHON=...")
    return ok("python", f"Python {text} at {sys.executable}")


def check_packages(lock: str, installed: Callable[[str], str | None] | None = None) -> Finding:
    """Whether what is installed is what the lock names; build tags such as +cpu do not count."""
    find = installed or installed_version
    pinned = {match[1]: match[2] for line in lock.splitlines() if (match := _PINNED.match(line))}
    found = {name: find(name) for name in pinned}
    missing = [name for name, version in found.items() if version is None]
    other = [f"{name} {found[name]} instead of {pinned[name]}" for name in pinned if not _agrees(found[name], pinned[name])]
    if missing or other:
        told = [f"{name} is missing" for name in missing] + other
        more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
        message = f"{', '.join(told[:_MOST_NAMED])}{more}"
        return fail("packages", message, _SETUP) if missing else warn("packages", message, _SETUP)
    return ok("packages", f"all {len(pinned)} packages have the versions of the lock")


def check_torch(report: ChildEnd) -> Finding:
    """Whether torch can be imported, and which build it is."""
    body = _read_report(report)
    if body is None:
        said = report.stderr.strip().splitlines() or [f"it ended with exit code {report.code}"]
        return fail("torch", f"torch cannot be imported: {said[-1]}", _SETUP)
    build = f"built for CUDA {body['cuda']}" if body["cuda"] else "built for the CPU only"
    return ok("torch", f"torch {body['torch']}, torchvision {body['torchvision']}, {build}")


def check_gpus(driver: Any, report: ChildEnd) -> Iterator[Finding]:
    """Whether there are GPUs, and whether torch can compute on each of them.

    Args:
        driver: what ``actors.gpu_driver.read_gpus`` says.
        report: the end of the child that tried torch.
    """
    body = _read_report(report) or {"cuda": None, "gpus": []}
    if not driver.gpus:
        remedy = (
            "for a GPU install its driver (nvidia-smi must list it); without one use device cpu, or `rfuav up --simulate-gpus 1`"
        )
        yield warn("gpu", "the driver (NVML) knows no GPU: everything computes on the CPU", remedy)
        return
    for gpu in driver.gpus:
        name = f"cuda:{gpu.index} {gpu.name}, {gpu.total_bytes / 2**30:.0f} GB"
        problem = body["gpus"][gpu.index] if gpu.index < len(body["gpus"]) else "torch does not see it"
        if not problem:
            yield ok("gpu", f"{name}, driver for CUDA {driver.cuda_version}, torch computes on it")
        elif not body["cuda"]:
            yield fail("gpu", f"{name}: torch is built for the CPU only", "install the CUDA build of torch that the lock names")
        else:
            remedy = "look at CUDA_VISIBLE_DEVICES, and whether the driver is as new as the CUDA that torch is built for"
            yield fail("gpu", f"{name}: {problem} (driver for CUDA {driver.cuda_version}, torch for {body['cuda']})", remedy)


def installed_version(name: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def try_torch() -> ChildEnd:
    """Import torch in a child and let it report."""
    program = Path(__file__).with_name("torch_report.py")
    try:
        done = subprocess.run(
            [sys.executable, "-P", str(program)], capture_output=True, text=True, timeout=_TORCH_DEADLINE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return ChildEnd(-1, "", f"no answer within {_TORCH_DEADLINE_S:.0f} s")
    return ChildEnd(done.returncode, done.stdout, done.stderr)


def _agrees(found: str | None, pinned: str) -> bool:
    return found is None or found == pinned or found.partition("+")[0] == pinned


def _read_report(report: ChildEnd) -> dict[str, Any] | None:
    if report.code != 0:
        return None
    try:
        body = json.loads(report.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return body if isinstance(body, dict) else None
