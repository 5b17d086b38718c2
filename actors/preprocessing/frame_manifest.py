"""Writes down where each picture comes from: a row for every picture, and one for everything that gave none.

Owns the columns of ``manifest.csv``. ``recording`` is a path below the input folder; ``first_sample``, ``sample_count``,
``start_s`` and ``duration_s`` count the recording's own samples at ``sample_rate``, before any resampling. A row without a
``file`` tells in ``error`` why a frame, or a whole recording, has no picture.
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from actors.preprocessing.sources import printable
from actors.signals.frames import FramePlace

MANIFEST_CSV_NAME: Final = "manifest.csv"
_COLUMNS: Final = (
    *("file", "class", "part", "recording", "first_sample", "sample_count", "start_s", "duration_s"),
    *("center_frequency", "sample_rate", "error"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ManifestRow:
    """One line; "" and None are empty cells."""

    recording: str
    file: str = ""
    class_name: str = ""
    part: str = ""
    place: FramePlace | None = None
    #: Samples per second of the recording.
    sample_rate: float | None = None
    error: str = ""

    def cells(self) -> tuple[str | float | None, ...]:
        """Give the line in the order of the columns."""
        names = (self.file, self.class_name, self.part, self.recording)
        place = self.place
        stretch = (place.first, place.count, place.start_s, place.duration_s, place.center_frequency) if place else (None,) * 5
        return (*map(printable, names), *stretch, self.sample_rate, printable(self.error))


def manifest_text(rows: Iterable[ManifestRow]) -> str:
    """Make the file's content."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(row.cells() for row in rows)
    return buffer.getvalue()
