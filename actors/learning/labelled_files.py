"""Files whose class is known from the folder they lie in: recordings or pictures to measure a trained network with.

Owns which files there are, and that every folder's name is one of the network's classes. It opens no file's content and must
not import torch: a submission is checked with it by a process that has none.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import DatasetError
from actors.learning.inference_sources import as_text
from actors.learning.pictures import PICTURE_EXTENSIONS, NoPicturesError, find_pictures
from actors.signals.errors import NoRecordingsError
from actors.signals.file_names import RECORDING_ENDINGS
from actors.signals.recording import find_recordings

FileKind = Literal["recordings", "pictures"]

#: Names shown where there may be hundreds.
_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One recording or picture."""

    path: Path
    #: The path below the root with forward slashes, as UTF-8 can hold it.
    file: str
    #: Index of its class.
    label: int


@dataclass(frozen=True, slots=True)
class LabelledFiles:
    """The files below ``root``, all of one kind, sorted by class folder and path."""

    root: Path
    kind: FileKind
    files: tuple[LabelledFile, ...]


def scan_labelled_files(root: Path, class_names: Sequence[str], *, roots: DataRoots = ANYWHERE) -> LabelledFiles:
    """List the class folders of ``root`` and the files in them.

    Raises:
        DatasetError: ``root`` is no folder or holds no class folder; a folder's name is none of ``class_names``, or it is a link
            out of ``roots``, or empty; or there are recordings and pictures.
    """
    folders = _class_folders(root, roots)
    strangers = [name for name in folders if name not in class_names]
    if strangers:
        raise DatasetError(
            f"{root} has folders that are no classes of the model: {_listed(strangers)}",
            f"The model knows {_listed(class_names)}; rename the folders or leave them out.",
        )
    found: dict[FileKind, list[LabelledFile]] = {"recordings": [], "pictures": []}
    for name in folders:
        recordings, pictures = _recordings_of(root / name, roots), _pictures_of(root / name)
        if not recordings and not pictures:
            endings = ", ".join((*RECORDING_ENDINGS, *PICTURE_EXTENSIONS))
            raise DatasetError(f"class folder {root / name} is empty", f"Add files that end in {endings}, or remove the folder.")
        found["recordings"] += _labelled(root, recordings, class_names.index(name))
        found["pictures"] += _labelled(root, pictures, class_names.index(name))
    kinds = [kind for kind, files in found.items() if files]
    if len(kinds) > 1:
        both = " and ".join(files[0].file for files in found.values())
        raise DatasetError(f"{root} holds recordings and pictures, such as {both}", "Evaluate them one after the other.")
    return LabelledFiles(root, kinds[0], tuple(found[kinds[0]]))


def _class_folders(root: Path, roots: DataRoots) -> list[str]:
    """Name the class folders; hidden ones, which tools leave behind, are none."""
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "Give a folder that holds one folder of files per class.")
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename}: {error.strerror}", "Check the folder's rights.") from error
    if not names:
        raise DatasetError(f"{root} has no class folders", "Put the files of each class into a folder of its name.")
    for name in names:
        if (root / name).is_symlink() and not roots.holds((root / name).resolve()):
            raise DatasetError(
                f"the class folder {root / name} is a link out of the data roots", "Copy its files into a data root."
            )
    return names


def _recordings_of(folder: Path, roots: DataRoots) -> tuple[Path, ...]:
    return _or_nothing(lambda: find_recordings(folder, roots=roots), NoRecordingsError)


def _pictures_of(folder: Path) -> tuple[Path, ...]:
    return _or_nothing(lambda: find_pictures(folder), NoPicturesError)


def _or_nothing(find: Callable[[], tuple[Path, ...]], nothing: type[Exception]) -> tuple[Path, ...]:
    try:
        return find()
    except nothing:
        return ()


def _labelled(root: Path, paths: Sequence[Path], label: int) -> Iterator[LabelledFile]:
    for path in paths:
        yield LabelledFile(path, as_text(PurePosixPath(path.relative_to(root).as_posix())), label)


def _listed(names: Sequence[str]) -> str:
    """Show some names on one line, whatever is in them."""
    shown = ", ".join(repr(name)[1:-1] for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
