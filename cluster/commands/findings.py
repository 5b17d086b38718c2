"""What one check of ``rfuav doctor`` found, and how findings are told."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """How good a finding is."""

    OK = "ok"
    WARN = "warn"  # it works, but less well, or not everything
    FAIL = "fail"  # it will not work


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; ``remedy`` is empty where nothing needs one."""

    check: str
    verdict: Verdict
    message: str
    remedy: str = ""

    def as_fields(self) -> dict[str, Any]:
        """The finding for scripts."""
        return asdict(self)


def ok(check: str, message: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Verdict.OK, message)


def warn(check: str, message: str, remedy: str) -> Finding:
    """It works, but less well."""
    return Finding(check, Verdict.WARN, message, remedy)


def fail(check: str, message: str, remedy: str) -> Finding:
    """It will not work."""
    return Finding(check, Verdict.FAIL, message, remedy)
