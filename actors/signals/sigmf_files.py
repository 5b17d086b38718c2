"""Reads SigMF recordings: metadata and data side by side, or both in an archive that is not unpacked.

Owns which of SigMF is read and how metadata are held against the data. The format's own schema, from the ``sigmf`` library,
checks the metadata; its reader is not used, since it opens files by name and loads whole archives.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from sigmf import schema

from actors.files.data_roots import DataRoots
from actors.signals.contents import Annotation, Capture, Contents, Known
from actors.signals.datatypes import Datatype, parse_datatype
from actors.signals.errors import RecordingFormatError, RecordingMetadataError, UnreadableRecordingError
from actors.signals.file_names import SIGMF_DATA, SIGMF_META
from actors.signals.raw_files import count_samples, open_file, read_small, size_of

#: Room for some hundred thousand annotations.
_META_LIMIT_BYTES: Final = 64 << 20
#: Data up to this size are held against their hash: some 30 ms. More would make opening slow.
_HASHED_BYTES: Final = 16 << 20
_MOST_MEMBERS: Final = 1000
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"\xfd7": "xz", b"BZ": "bzip2", b"PK": "zip", b"\x28\xb5": "zstd"}
_UNPACK: Final = "Unpack it, and give the .sigmf-meta file."

Metadata = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Data:
    """Where the bytes of a dataset lie."""

    path: Path
    offset_bytes: int
    size_bytes: int


def read_sigmf(path: Path, roots: DataRoots) -> Contents:
    """Find out what a recording holds, given its metadata or its data file.

    Raises:
        UnreadableRecordingError: A file of it cannot be read, or is cut off.
        RecordingMetadataError: Its metadata are damaged, or do not fit the data.
        RecordingFormatError: It is of a kind that is not read.
    """
    meta_path = path.with_suffix(SIGMF_META) if path.suffix.lower() == SIGMF_DATA else path
    metadata = _parse(meta_path, read_small(meta_path, roots, limit_bytes=_META_LIMIT_BYTES))
    data_path = (
        meta_path.with_suffix(SIGMF_DATA) if (name := _dataset_name(meta_path, metadata)) is None else meta_path.parent / name
    )
    if metadata["global"].get("core:metadata_only") and not data_path.exists():
        raise RecordingFormatError(f"{meta_path} stands alone, without samples", "Give a recording that has them.")
    with open_file(data_path, roots) as file:
        data = _Data(data_path, 0, size_of(file))
        _check_hash(meta_path, metadata, file, data)
    return _contents(meta_path, metadata, data)


def read_archive(path: Path, roots: DataRoots) -> Contents:
    """Find out what an archive of one recording holds, without unpacking it.

    Raises:
        UnreadableRecordingError, RecordingMetadataError, RecordingFormatError: As ``read_sigmf``.
    """
    with open_file(path, roots) as file:
        members = list(_members(path, file))
        metas = [member for member in members if member.name.endswith(SIGMF_META)]
        if len(metas) != 1:
            raise RecordingFormatError(f"{path} holds {len(metas)} recordings, not one", _UNPACK)
        if metas[0].size > _META_LIMIT_BYTES:
            raise UnreadableRecordingError(f"{path}: its metadata have more than {_META_LIMIT_BYTES} bytes", _UNPACK)
        file.seek(metas[0].offset_data)
        metadata = _parse(path, file.read(metas[0].size))
        name = _dataset_name(path, metadata) or Path(metas[0].name).with_suffix(SIGMF_DATA).name
        found = [member for member in members if Path(member.name).name == name]
        if len(found) != 1:
            raise RecordingMetadataError(f"{path} holds {len(found)} files {name}, the data of its metadata", _UNPACK)
        data = _Data(path, found[0].offset_data, found[0].size)
        if data.offset_bytes + data.size_bytes > size_of(file):
            raise UnreadableRecordingError(f"{path} is cut off within {name}", "Copy it again.")
        _check_hash(path, metadata, file, data)
    return _contents(path, metadata, data)


def dataset_beside(meta_path: Path, roots: DataRoots) -> str | None:
    """Tell the name of a data file that metadata name themselves; None where they name none or cannot be read."""
    try:
        return _dataset_name(meta_path, _load(meta_path, read_small(meta_path, roots, limit_bytes=_META_LIMIT_BYTES)))
    except (UnreadableRecordingError, RecordingMetadataError):
        return None


def _load(path: Path, content: bytes) -> dict[str, Any]:
    """Read JSON whose sections are of the right kind."""
    try:
        metadata = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecordingMetadataError(f"the metadata of {path} are no JSON: {error}", "Repair them.") from error
    if isinstance(metadata, dict) and "collection" in metadata:
        raise RecordingMetadataError(f"{path} is a collection, not a recording", "Give one of the recordings that it lists.")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("global"), dict):
        raise RecordingMetadataError(f"the metadata of {path} lack the global object", "Repair them.")
    return metadata


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    """Read metadata and hold them against the format's schema.

    A list that is missing counts as empty, which changes nothing of what is told.
    """
    metadata = {"captures": [], "annotations": [], **_load(path, content)}
    problem = best_match(_validator().iter_errors(metadata))
    if problem is not None:
        place = ".".join(str(part) for part in problem.absolute_path)
        raise RecordingMetadataError(f"the metadata of {path} are wrong at {place}: {problem.message[:200]}", "Correct them.")
    head = metadata["global"]
    needed = [each["name"] for each in head.get("core:extensions", ()) if not each["optional"]]
    if needed:
        raise RecordingFormatError(f"{path} needs the extension {needed[0]}, which is not known here", "Convert it to plain SigMF.")
    if head.get("core:num_channels", 1) != 1:
        raise RecordingFormatError(f"{path} holds {head['core:num_channels']} channels", "Split it into recordings of one channel.")
    return metadata


@cache
def _validator() -> Draft202012Validator:
    """The format's schema, read from the library once."""
    return Draft202012Validator(schema.get_schema())


def _dataset_name(path: Path, metadata: Metadata) -> str | None:
    """Tell the data file that metadata name themselves; it may only lie beside them."""
    name = metadata["global"].get("core:dataset")
    if name is None:
        return None
    if not isinstance(name, str) or name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise RecordingMetadataError(f"{path}: core:dataset {name!r} is no plain file name", "Name a file in the same folder.")
    return name


def _members(path: Path, file: BufferedReader) -> Iterator[tarfile.TarInfo]:
    """List the regular files of an archive.

    Raises:
        RecordingFormatError: It is compressed, no archive, or one with too many files or with sparse ones.
        UnreadableRecordingError: It is damaged.
    """
    start = file.peek(2)[:2]
    if start in _COMPRESSED:
        # To reach a frame, all before it would have to be unpacked, each time.
        raise RecordingFormatError(f"{path} is compressed ({_COMPRESSED[start]})", _UNPACK)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for number, member in enumerate(archive):
                if number >= _MOST_MEMBERS or member.issparse():
                    raise RecordingFormatError(f"{path} has sparse members or more than {_MOST_MEMBERS} files", _UNPACK)
                if member.isreg():
                    yield member
    except tarfile.ReadError as error:
        raise UnreadableRecordingError(f"{path} is no whole SigMF archive: {error}", "Copy it again.") from error
    except (tarfile.TarError, OSError, ValueError) as error:
        raise UnreadableRecordingError(f"{path} is a damaged archive: {error}", "Copy it again.") from error


def _check_hash(path: Path, metadata: Metadata, file: BufferedReader, data: _Data) -> None:
    """Hold small data against their hash."""
    told = metadata["global"].get("core:sha512")
    if told is None or data.size_bytes > _HASHED_BYTES:
        return
    file.seek(data.offset_bytes)
    if hashlib.sha512(file.read(data.size_bytes)).hexdigest() != told.lower():
        problem = f"the data of {path} do not have the core:sha512 that its metadata tell"
        raise RecordingMetadataError(problem, "Copy the recording again; if its data were changed on purpose, correct the hash.")


def _contents(path: Path, metadata: Metadata, data: _Data) -> Contents:
    """Put together what metadata and the size of the data tell."""
    head = metadata["global"]
    datatype = parse_datatype(head["core:datatype"])
    captures = _captures(path, metadata, data, datatype)
    total = captures[-1].first + captures[-1].count
    annotations, warnings = _annotations(path, metadata, total)
    labels = {annotation.label for annotation in annotations} - {None}
    rate = head.get("core:sample_rate")
    return Contents(
        data_path=data.path,
        datatype=datatype,
        captures=captures,
        sample_rate=None if rate is None else Known(float(rate), f"core:sample_rate of {path.name}"),
        class_label=labels.pop() if len(labels) == 1 else None,
        description=head.get("core:description"),
        annotations=annotations,
        warnings=warnings,
    )


def _captures(path: Path, metadata: Metadata, data: _Data, datatype: Datatype) -> tuple[Capture, ...]:
    """Tell where the samples of each capture lie; headers between them are passed over."""
    listed = _with_sample_zero(metadata)
    starts = [int(each["core:sample_start"]) - int(metadata["global"].get("core:offset", 0)) for each in listed]
    if starts != sorted(starts) or starts[0] < 0:
        raise RecordingMetadataError(f"the captures of {path} are not in the order of their samples", "Correct core:sample_start.")
    headers = [int(each.get("core:header_bytes", 0)) for each in listed]
    trailing = int(metadata["global"].get("core:trailing_bytes", 0))
    total = count_samples(path, data.size_bytes - sum(headers) - trailing, datatype)
    if starts[-1] > total:
        raise RecordingMetadataError(
            f"{path}: a capture begins at sample {starts[-1]}, but there are only {total} samples",
            "Is the data file cut off? Copy it again, or correct the metadata.",
        )
    captures = []
    header_bytes = 0
    for each, first, end, header in zip(listed, starts, [*starts[1:], total], headers, strict=True):
        header_bytes += header
        if end > first:
            offset_bytes = data.offset_bytes + header_bytes + first * datatype.sample_bytes
            frequency = each.get("core:frequency")
            center = None if frequency is None else float(frequency)
            captures.append(Capture(first, end - first, center, _instant(each.get("core:datetime")), offset_bytes))
    return tuple(captures)


def _with_sample_zero(metadata: Metadata) -> list[Metadata]:
    """List the captures so that the first sample belongs to one; of what comes before the first, nothing is told."""
    listed: list[Metadata] = list(metadata["captures"])
    offset = int(metadata["global"].get("core:offset", 0))
    if not listed or listed[0]["core:sample_start"] > offset:
        listed.insert(0, {"core:sample_start": offset})
    return listed


def _annotations(path: Path, metadata: Metadata, total: int) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Read the annotations, and tell of those that reach beyond the end."""
    offset = int(metadata["global"].get("core:offset", 0))
    annotations = []
    overlong = 0
    for each in metadata["annotations"]:
        first, count = int(each["core:sample_start"]) - offset, each.get("core:sample_count")
        if not 0 <= first < total:
            raise RecordingMetadataError(
                f"{path}: an annotation begins at sample {first}, but there are only {total} samples",
                "Is the data file cut off? Copy it again, or correct the metadata.",
            )
        overlong += count is not None and first + count > total
        count = None if count is None else min(int(count), total - first)
        lower, upper = each.get("core:freq_lower_edge"), each.get("core:freq_upper_edge")
        annotations.append(Annotation(first, count, lower, upper, each.get("core:label")))
    warnings = (f"{path.name}: {overlong} annotations reach beyond the last sample and were cut there",) if overlong else ()
    return tuple(annotations), warnings


def _instant(text: str | None) -> datetime | None:
    """Understand a time, which is UTC; one that is none, such as a leap second, is only passed over."""
    try:
        instant = None if text is None else datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant and instant.tzinfo is None else instant
