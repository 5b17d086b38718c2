"""Files and folders in the words of the HTTP contract. Pure functions."""

from pathlib import Path

from actors.files.data_roots import DataRoots
from serve_app.listing import Entry, WrittenFile
from serve_app.schemas.data import DataEntry, DataResponse, EntryKind, FileBody
from serve_app.shape import clean_text, timestamp

#: The years that a date can tell end here; files may claim any.
_LATEST = 253_402_300_799.0


def data_response(folder: Path, entries: list[Entry], next_cursor: str | None, roots: DataRoots) -> DataResponse:
    """One page of a folder."""
    return DataResponse(
        path=request_path(folder, roots),
        parent=None if folder in roots.folders else request_path(folder.parent, roots),
        entries=[data_entry(entry, roots) for entry in entries],
        next_cursor=next_cursor,
    )


def root_entries(roots: DataRoots) -> list[DataEntry]:
    """The data roots themselves, in the order of the settings."""
    return [
        DataEntry(
            name=clean_text(root.name or str(root)),
            path=request_path(root, roots),
            kind=EntryKind.FOLDER,
            size_bytes=None,
            modified_at=None,
        )
        for root in roots.folders
    ]


def data_entry(entry: Entry, roots: DataRoots) -> DataEntry:
    """One file or folder."""
    return DataEntry(
        name=clean_text(entry.name),
        path=request_path(entry.path, roots),
        kind=entry.kind,
        size_bytes=entry.size_bytes,
        modified_at=None if entry.modified_at is None else file_time(entry.modified_at),
    )


def file_body(file: WrittenFile) -> FileBody:
    """One file of a task."""
    return FileBody(path=clean_text(file.path.as_posix()), size_bytes=file.size_bytes, modified_at=file_time(file.modified_at))


def request_path(path: Path, roots: DataRoots) -> str:
    """A path as requests take it: from the first root where it lies there, else absolute."""
    first = roots.folders[0]
    return clean_text(path.relative_to(first).as_posix() if path.is_relative_to(first) else path.as_posix())


def file_time(seconds: float) -> str:
    """A file's time, brought into the years that dates can tell."""
    return timestamp(min(max(seconds, 0.0), _LATEST))
