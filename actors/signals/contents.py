"""What the reader of one kind of file finds out, before a sample is read.

Owns the plain values that readers and recordings share. It opens nothing and decides nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from actors.signals.datatypes import Datatype


@dataclass(frozen=True, slots=True)
class Capture:
    """A stretch of samples that one receiver setting made, without a gap."""

    #: Index of its first sample in the recording.
    first: int
    #: Samples, at least 1.
    count: int
    #: Hz; None where nobody tells.
    center_frequency: float | None
    #: When its first sample was taken.
    started_at: datetime | None
    #: Where in the data file its first sample begins.
    offset_bytes: int


@dataclass(frozen=True, slots=True)
class Annotation:
    """What somebody or something said of a part of a recording."""

    first: int
    #: Samples; None where it is not told.
    count: int | None
    #: Hz, of the band; None where it is not told.
    lower_frequency: float | None
    upper_frequency: float | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """A number that metadata tells, and where it stands, for the user's eyes."""

    value: float
    source: str


@dataclass(frozen=True, slots=True)
class Contents:
    """Where samples lie and what metadata say of them. Captures follow each other without a gap in their indexes."""

    data_path: Path
    datatype: Datatype
    captures: tuple[Capture, ...]
    sample_rate: Known | None = None
    #: Of all captures that have none of their own.
    center_frequency: Known | None = None
    class_label: str | None = None
    description: str | None = None
    annotations: tuple[Annotation, ...] = ()
    #: What the user should know and need not change.
    warnings: tuple[str, ...] = ()

    @property
    def sample_count(self) -> int:
        """Samples of all captures."""
        return self.captures[-1].first + self.captures[-1].count
