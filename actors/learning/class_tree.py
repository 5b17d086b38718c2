"""A dataset as a tree of class folders, before any picture or recording is opened.

Owns which classes a folder holds, in which order, and whether they hold pictures or recordings. Must not import torch: a
submission is checked with it by a process that has none.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from actors.files.data_roots import ANYWHERE, DataRoots, OutsideRootsError
from actors.files.errors import DatasetError
from actors.learning.pictures import PICTURE_EXTENSIONS
from actors.signals.file_names import RECORDING_ENDINGS
from actors.signals.recording import find_recordings

#: What all files of a tree are.
SampleKind = Literal["pictures", "recordings"]
_SAMPLE_ENDINGS: Final = (*PICTURE_EXTENSIONS, *RECORDING_ENDINGS)


@dataclass(frozen=True, slots=True)
class ClassTree:
    """The pictures, or the recordings, below ``root``, each with the index of its class.

    A class's index is its position among the ASCII-sorted folder names (upper case before lower), as torchvision's
    ImageFolder gives it. Every class index of ``samples`` lies within ``classes``.
    """

    root: Path
    classes: tuple[str, ...]
    #: (path below the root with forward slashes, class index), sorted by class, then path.
    samples: tuple[tuple[str, int], ...]
    kind: SampleKind = "pictures"

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of files of each class, in index order."""
        counts = [0] * len(self.classes)
        for _, index in self.samples:
            counts[index] += 1
        return tuple(counts)

    def indexed_as(self, classes: tuple[str, ...]) -> "ClassTree":
        """Give the same files the indexes that ``classes`` assigns to their folder names.

        Raises:
            DatasetError: A folder has a name that is not among them.
        """
        strangers = sorted(set(self.classes) - set(classes))
        if strangers:
            raise DatasetError(
                f"{self.root} has class folders that the training tree lacks: {', '.join(strangers[:5])}",
                "Give both trees the same class folders.",
            )
        index_of = {name: index for index, name in enumerate(classes)}
        samples = tuple((path, index_of[self.classes[index]]) for path, index in self.samples)
        return ClassTree(self.root, classes, samples, self.kind)

    def require_kind(self, kind: SampleKind) -> None:
        """Check that the files are of the kind that the training tree's are.

        Raises:
            DatasetError: They are of the other.
        """
        if self.kind != kind:
            raise DatasetError(f"{self.root} holds {self.kind}, but the training tree {kind}", f"Give folders of {kind} for both.")


@dataclass(frozen=True, slots=True)
class ClassDataset:
    """A training and a validation tree with the same class indexes."""

    train: ClassTree
    val: ClassTree
    #: What the user should know and need not change.
    warnings: tuple[str, ...]


def scan_dataset(train_path: Path, val_path: Path, num_classes: int, *, roots: DataRoots = ANYWHERE) -> ClassDataset:
    """List both trees of a dataset and check that they and ``num_classes`` go together.

    Raises:
        DatasetError: As ``scan_class_folders``; or there are more class folders than ``num_classes``, or validation has
            class folders that training lacks, or files of another kind.
    """
    train = scan_class_folders(train_path, roots=roots)
    if num_classes < len(train.classes):
        raise DatasetError(
            f"num_classes is {num_classes}, but {train_path} has {len(train.classes)} class folders",
            f"Set num_classes to {len(train.classes)}.",
        )
    found = scan_class_folders(val_path, roots=roots)
    found.require_kind(train.kind)
    val = found.indexed_as(train.classes)
    warnings = []
    if num_classes > len(train.classes):
        warnings.append(
            f"num_classes is {num_classes}, but {train_path} has {len(train.classes)} class folders: "
            f"outputs {len(train.classes)} to {num_classes - 1} will never be learnt and have no name"
        )
    lacking = [name for name in train.classes if name not in found.classes]
    if lacking:
        warnings.append(f"{val_path} lacks the classes {', '.join(lacking)}: they are not validated")
    return ClassDataset(train, val, tuple(warnings))


def scan_class_folders(root: Path, *, roots: DataRoots = ANYWHERE) -> ClassTree:
    """List the class folders of ``root`` and their pictures or recordings.

    Hidden files and folders are left out, and so is what is neither a file nor a folder. A class folder may be a link and
    may hold folders of its own; links to folders deeper down are not followed. Where a link to a file leads is found out
    when it is opened.

    Raises:
        DatasetError: ``root`` is no folder, holds no class folder, cannot be read, holds both pictures and recordings, or a
            class folder is empty, has an unprintable name, or is a link that leads out of ``roots``.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "Give a folder that holds one folder of pictures or recordings per class.")
    try:
        classes = tuple(sorted(entry.name for entry in os.scandir(root) if _is_class_folder(entry)))
        for name in classes:
            _require_inside(root / name, roots)
        found = tuple((path, index) for index, name in enumerate(classes) for path in _files_of(root, name))
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename}: {error.strerror}", "Check the folder's rights.") from error
    if not classes:
        raise DatasetError(
            f"{root} has no class folders", "Put the pictures or recordings of each class into a folder of its name."
        )
    kind = _common_kind(root, [path for path, _ in found])
    if kind == "recordings":
        found = tuple((path, index) for index, name in enumerate(classes) for path in _recordings_of(root, name, roots))
    return ClassTree(root, classes, found, kind)


def _is_class_folder(entry: os.DirEntry[str]) -> bool:
    """Tell a class from files and from hidden folders, which tools leave behind."""
    return entry.is_dir() and not entry.name.startswith(".")


def _require_inside(folder: Path, roots: DataRoots) -> None:
    """Refuse a class folder that is a link out of the roots; one that is no link lies where its tree lies."""
    if not folder.is_symlink():
        return
    try:
        roots.locate(folder)
    except OutsideRootsError as error:
        raise DatasetError(f"the class folder {folder} is a link out of the data roots", error.hint) from None


def _common_kind(root: Path, files: list[str]) -> SampleKind:
    """Tell what a tree holds.

    Raises:
        DatasetError: Both kinds.
    """
    pictures = next((path for path in files if _is_picture(path)), None)
    recordings = next((path for path in files if not _is_picture(path)), None)
    if pictures and recordings:
        raise DatasetError(
            f"{root} holds pictures ({pictures}) and recordings ({recordings})",
            "Train on one kind: move the other out of the tree, or make pictures of the recordings first "
            "(POST /api/v2/preprocessing/spectrogram).",
        )
    return "recordings" if recordings else "pictures"


def _files_of(root: Path, name: str) -> list[str]:
    """List what may be pictures or recordings of one class, as paths below the root."""
    if not name.isprintable():
        raise DatasetError(f"class folder {name!r} in {root} has unprintable characters", "Rename the folder.")
    files = sorted(_files_below(root / name, name))
    if not files:
        raise DatasetError(
            f"class folder {root / name} holds no picture and no recording",
            f"Add pictures ({', '.join(PICTURE_EXTENSIONS)}) or recordings ({', '.join(RECORDING_ENDINGS)}), or remove the folder.",
        )
    return files


def _recordings_of(root: Path, name: str, roots: DataRoots) -> list[str]:
    """List the recordings of one class: one of several files, such as SigMF's metadata and data, counts once."""
    return [f"{name}/{path.relative_to(root / name).as_posix()}" for path in find_recordings(root / name, roots=roots)]


def _is_picture(path: str) -> bool:
    return path.lower().endswith(PICTURE_EXTENSIONS)


def _files_below(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the files of a folder and of the folders in it. Without recursion, which a deep enough tree would exhaust."""
    waiting = [(folder, prefix)]
    while waiting:
        folder, prefix = waiting.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{prefix}/{entry.name}"
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((Path(entry.path), path))
                elif entry.name.lower().endswith(_SAMPLE_ENDINGS) and entry.is_file():
                    yield path
