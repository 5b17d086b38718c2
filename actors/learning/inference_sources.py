"""Finds what an inference is to go over: pictures, recordings, or both.

Owns which files of a source are taken as what. It must not import torch: a submission is checked by a process that never
loads it.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import writable
from actors.learning.pictures import PICTURE_EXTENSIONS, NoPicturesError, find_pictures
from actors.signals.errors import NoRecordingsError
from actors.signals.file_names import RECORDING_ENDINGS
from actors.signals.recording import find_recordings


@dataclass(frozen=True, slots=True)
class Sources:
    """The files of a source by kind, each sorted by path; at least one."""

    pictures: tuple[Path, ...]
    recordings: tuple[Path, ...]


def find_sources(source: Path, *, is_typed: bool = False, exclude: Collection[Path] = (), roots: DataRoots = ANYWHERE) -> Sources:
    """List the pictures and the recordings of a file or of a folder tree.

    Args:
        source: A picture, a recording, or a folder.
        is_typed: Whether the datatype of samples was told: then a single file of any ending may be a recording.
        exclude: Folders to leave out, such as the one that results are written to.
        roots: Where metadata that are looked into must lie.

    Raises:
        NoPicturesError: There is neither a picture nor a recording, or no such file or folder.
        DatasetError: A folder in the tree cannot be listed.
    """
    pictures: tuple[Path, ...] = ()
    recordings: tuple[Path, ...] = ()
    with suppress(NoPicturesError):
        pictures = find_pictures(source, exclude=exclude)
    with suppress(NoRecordingsError):
        recordings = find_recordings(source, exclude=exclude, roots=roots)
    if is_typed and source.is_file() and not pictures:
        recordings = (source,)
    if pictures or recordings:
        return Sources(pictures, recordings)
    if not source.exists():
        raise NoPicturesError(f"there is no file or folder {source}", "Check the path.")
    endings = ", ".join((*PICTURE_EXTENSIONS, *RECORDING_ENDINGS))
    raise NoPicturesError(f"there is no picture and no recording in {source}", f"Give files that end in {endings}.")


def paths_within(source: Path, files: Iterable[Path]) -> list[PurePosixPath]:
    """Give the paths of files within the source; that of a single file is its name."""
    base = source.parent if source.is_file() else source
    return [PurePosixPath(file.relative_to(base).as_posix()) for file in files]


def as_text(file: PurePosixPath) -> str:
    """Give a file's name as text that UTF-8 can hold; names on disk may be any bytes."""
    return writable(str(file))
