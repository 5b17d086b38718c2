"""Reads the XML file beside an RFUAV recording.

Owns where it lies and its tags, at any depth and with or without units. A tag that cannot be understood says nothing, and
a warning tells so.
"""

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from actors.files.data_roots import DataRoots
from actors.signals.contents import Known
from actors.signals.datatypes import Datatype
from actors.signals.errors import RecordingMetadataError, UnreadableRecordingError
from actors.signals.file_names import RAW_ENDINGS, RFUAV_ENDINGS, SCALE
from actors.signals.raw_files import read_small

_LIMIT_BYTES: Final = 1 << 20
#: Folders whose lists are remembered, and how long ago the last change of such a folder must be.
_FOLDERS_KEPT: Final = 16
_SETTLED_AFTER_NS: Final = 2_000_000_000
_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*(?:([kMG]?)(?:Hz|sps|S/s)|([kMG]))?", re.IGNORECASE)
#: Below this, a number without a unit is rather one of MHz than of Hz.
_LEAST_BARE_NUMBER: Final = 1e4
_DATATYPES: Final = {
    "float32": Datatype("f", 32),
    "float": Datatype("f", 32),
    "single": Datatype("f", 32),
    "complex64": Datatype("f", 32),
    "complexfloat": Datatype("f", 32),
    "double": Datatype("f", 64),
    "float64": Datatype("f", 64),
    "int16": Datatype("i", 16),
    "short": Datatype("i", 16),
    "int8": Datatype("i", 8),
}


@dataclass(slots=True)
class Sidecar:
    """What an XML file says; empty where there is none."""

    sample_rate: Known | None = None
    center_frequency: Known | None = None
    datatype: Datatype | None = None
    class_label: str | None = None
    description: str | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _XmlFiles:
    """The XML files of a folder."""

    #: By their names without the ending.
    own: Mapping[str, str]
    #: The folder's only one, unless it is a single recording's.
    shared: str | None


def read_sidecar(recording: Path, roots: DataRoots) -> Sidecar:
    """Read the XML file of a recording, if there is one.

    It is the one of the same name. A file with one of RFUAV's own endings may also have the folder's only one, unless that
    is another recording's: RFUAV puts one beside the packs of a drone.

    Raises:
        UnreadableRecordingError: It cannot be read, or leads out of ``roots``; or the folder cannot be listed.
        RecordingMetadataError: It is no XML, or XML that plays tricks.
    """
    path = _find(recording)
    if path is None:
        return Sidecar()
    try:
        root = fromstring(read_small(path, roots, limit_bytes=_LIMIT_BYTES))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise RecordingMetadataError(f"{path} is no plain XML: {error}", "Repair it or move it away.") from error
    return _understand(path, root)


def _find(recording: Path) -> Path | None:
    """Choose the XML file that is about a recording, if there is one.

    Raises:
        UnreadableRecordingError: The folder cannot be listed.
    """
    folder = recording.parent
    try:
        changed_ns = folder.stat().st_mtime_ns
        # A folder that changed a moment ago may change again without another time of change.
        is_settled = time.time_ns() - changed_ns > _SETTLED_AFTER_NS
        found = _settled_xml_files(folder, changed_ns) if is_settled else _list_xml_files(folder)
    except OSError as error:
        problem = f"cannot look for an XML file beside {recording}: {error.strerror}"
        raise UnreadableRecordingError(problem, "Check the folder's rights.") from error
    name = found.own.get(recording.name) or found.own.get(recording.stem)
    if name is None and recording.suffix.lower() in RFUAV_ENDINGS:
        name = found.shared
    return folder / name if name else None


@lru_cache(maxsize=_FOLDERS_KEPT)
def _settled_xml_files(folder: Path, changed_ns: int) -> _XmlFiles:  # noqa: ARG001 - of the remembered answer
    """List one state of a folder once: it may hold a hundred thousand recordings, each of which asks."""
    return _list_xml_files(folder)


def _list_xml_files(folder: Path) -> _XmlFiles:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    own: dict[str, str] = {}
    for name in sorted(name for name in names if name.lower().endswith(".xml")):
        own.setdefault(name[:-4], name)
    shared = next(iter(own.values())) if len(own) == 1 else None
    if shared:
        others = {part for name in names if name.lower().endswith(RAW_ENDINGS) for part in (name, name.rpartition(".")[0])}
        shared = None if shared[:-4] in others else shared
    return _XmlFiles(own, shared)


def _understand(path: Path, root: Element) -> Sidecar:
    """Take what is known from the tags; the first of a name counts."""
    texts: dict[str, str] = {}
    for element in root.iter():
        text = (element.text or "").strip()
        if text and isinstance(element.tag, str):
            unit = next((value for name, value in element.attrib.items() if name.lower() in ("unit", "units")), "")
            texts.setdefault(element.tag.rpartition("}")[2].lower(), f"{text} {unit}".strip())
    found = Sidecar(class_label=texts.get("drone"), description=texts.get("devicetype"))
    found.sample_rate = _quantity(path, "SampleRate", texts, found.warnings)
    found.center_frequency = _quantity(path, "CenterFrequency", texts, found.warnings)
    found.datatype = _datatype(path, texts.get("datatype"), found.warnings)
    return found


def _quantity(path: Path, tag: str, texts: dict[str, str], warnings: list[str]) -> Known | None:
    """Understand a frequency or rate with or without its unit."""
    text = texts.get(tag.lower())
    if text is None:
        return None
    match = _QUANTITY.fullmatch(text)
    if match is None:
        warnings.append(f"{path.name}: {tag} {text!r} is not understood and was not used")
        return None
    value = float(match[1])
    has_unit = match[2] is not None or match[3] is not None
    if not has_unit and abs(value) < _LEAST_BARE_NUMBER:
        warnings.append(f"{path.name}: {tag} {text!r} has no unit and is no likely number of Hz; it was not used")
        return None
    return Known(value * SCALE[(match[2] or match[3] or "").lower()], f"{tag} in {path.name}")


def _datatype(path: Path, text: str | None, warnings: list[str]) -> Datatype | None:
    if text is None:
        return None
    datatype = _DATATYPES.get(re.sub(r"[\s_-]", "", text.lower()))
    if datatype is None:
        warnings.append(f"{path.name}: DataType {text!r} is not understood and was not used")
    return datatype
