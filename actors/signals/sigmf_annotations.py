"""Writes what was found in a recording as SigMF metadata, beside which a link to the samples lets other programs open it at once.

Owns the shape of these metadata and how samples that lie in the middle of another kind of file are described. It copies no
samples.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from sigmf import __specification__ as specification

from actors.signals.errors import RecordingFormatError
from actors.signals.file_names import SIGMF_DATA, SIGMF_META
from actors.signals.raw_files import open_file, size_of
from actors.signals.recording import Recording

GENERATOR: Final = "rfuav"
#: SigMF has no name for values of so many bits.
_UNNAMED_BITS: Final = 24
#: Fields of our own are told to be there, and nobody has to know them.
_EXTENSION: Final = {"name": GENERATOR, "version": "1.0.0", "optional": True}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in a stretch of samples; ``confidence`` is in percent."""

    first: int
    count: int
    #: Hz, the edges of the band that was looked at; around 0 where nobody tells the centre.
    lower_frequency: float
    upper_frequency: float
    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class SigmfFiles:
    """The two files of a recording's annotations, by their names, and what each of them holds."""

    meta_name: str
    metadata: dict[str, Any]
    #: The name that a link to ``data_path`` must have, beside the metadata.
    data_name: str
    data_path: Path

    def meta_text(self) -> str:
        """Give the metadata as they are written."""
        return json.dumps(self.metadata, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def describe_findings(recording: Recording, name: str, findings: Sequence[Finding], *, description: str) -> SigmfFiles:
    """Make the metadata of a recording with what was found in it.

    Samples with a header before them or anything behind stay where they are: such a file keeps its ending, and the metadata
    name it and say how many bytes to pass over, as SigMF has it for data that are not of its own kind.

    Args:
        recording: What was looked at.
        name: What the files are called, without an ending.
        findings: In any order.
        description: One sentence on where the findings come from.

    Raises:
        RecordingFormatError: SigMF has no name for the datatype.
        UnreadableRecordingError: The file is gone.
    """
    if recording.datatype.bits == _UNNAMED_BITS:
        raise RecordingFormatError(
            f"{recording.path} has samples of {_UNNAMED_BITS} bits, for which SigMF has no name", "Convert it to ci32_le."
        )
    headers, trailing = _surroundings(recording)
    is_conforming = not any(headers) and not trailing
    data_name = name + (SIGMF_DATA if is_conforming else recording.data_path.suffix)
    head: dict[str, Any] = {
        "core:datatype": recording.datatype.name,
        "core:sample_rate": recording.sample_rate,
        "core:version": specification,
        "core:num_channels": 1,
        "core:description": description,
        "core:extensions": [_EXTENSION],
    }
    if not is_conforming:
        head |= {"core:dataset": data_name, "core:trailing_bytes": trailing}
    metadata = {
        "global": head,
        "captures": _captures(recording, headers),
        "annotations": [_annotation(each) for each in sorted(findings, key=lambda finding: (finding.first, finding.count))],
    }
    return SigmfFiles(name + SIGMF_META, metadata, data_name, recording.data_path)


def relative_link(target: Path, folder: Path) -> str:
    """Tell what a link in a folder must say to lead to a file, wherever both are moved to together."""
    return os.path.relpath(target.resolve(), folder.resolve())


def _surroundings(recording: Recording) -> tuple[list[int], int]:
    """Count the bytes before each capture that are no samples, and those behind the last."""
    headers = []
    end = 0
    for capture in recording.captures:
        headers.append(capture.offset_bytes - end)
        end = capture.offset_bytes + capture.count * recording.datatype.sample_bytes
    with open_file(recording.data_path, recording.roots) as file:
        return headers, max(0, size_of(file) - end)


def _captures(recording: Recording, headers: Sequence[int]) -> list[dict[str, Any]]:
    captures = []
    for capture, header_bytes in zip(recording.captures, headers, strict=True):
        told: dict[str, Any] = {"core:sample_start": capture.first}
        if capture.center_frequency is not None:
            told["core:frequency"] = capture.center_frequency
        if capture.started_at is not None:
            told["core:datetime"] = capture.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if header_bytes:
            told["core:header_bytes"] = header_bytes
        captures.append(told)
    return captures


def _annotation(finding: Finding) -> dict[str, Any]:
    return {
        "core:sample_start": finding.first,
        "core:sample_count": finding.count,
        "core:freq_lower_edge": finding.lower_frequency,
        "core:freq_upper_edge": finding.upper_frequency,
        "core:label": finding.label,
        "core:comment": f"{finding.confidence:.2f} %",
        "core:generator": GENERATOR,
        f"{GENERATOR}:confidence": finding.confidence,
    }
