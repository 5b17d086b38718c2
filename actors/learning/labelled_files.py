"""Files whose class is known from the folder they lie in: recordings or pictures to measure a trained network with.

Owns that every folder's name is one of the network's classes. It opens no file's content and must not import torch: a
submission is checked with it by a process that has none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import DatasetError
from actors.learning.class_tree import SampleKind, scan_class_folders
from actors.learning.inference_sources import as_text

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
    kind: SampleKind
    files: tuple[LabelledFile, ...]


def scan_labelled_files(root: Path, class_names: Sequence[str], *, roots: DataRoots = ANYWHERE) -> LabelledFiles:
    """List the class folders of ``root`` and the files in them.

    Raises:
        DatasetError: As ``scan_class_folders``; or a folder's name is none of ``class_names``.
    """
    tree = scan_class_folders(root, roots=roots)
    strangers = [name for name in tree.classes if name not in class_names]
    if strangers:
        raise DatasetError(
            f"{root} has folders that are no classes of the model: {_listed(strangers)}",
            f"The model knows {_listed(class_names)}; rename the folders or leave them out.",
        )
    files = tuple(
        LabelledFile(root / path, as_text(PurePosixPath(path)), class_names.index(tree.classes[index]))
        for path, index in tree.samples
    )
    return LabelledFiles(root, tree.kind, files)


def _listed(names: Sequence[str]) -> str:
    """Show some names on one line, whatever is in them."""
    shown = ", ".join(repr(name)[1:-1] for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
