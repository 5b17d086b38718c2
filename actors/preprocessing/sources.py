"""Lists the pictures that a task works on, before any is opened.

Owns which files of a tree count, that none of them lies outside it, and the print by which a later run knows whether they
are still the same.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import DatasetError
from actors.learning.errors import ConfigError
from actors.learning.pictures import PICTURE_EXTENSIONS, NoPicturesError

#: The folders of a dataset that are worked on; a test part stays as it was recorded.
DATASET_PARTS: Final = ("train", "valid")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A picture file, as the folder listing shows it."""

    #: Its path below the root, with forward slashes.
    name: str
    size_bytes: int
    changed_ns: int
    #: What else its results depend on, such as metadata beside it.
    told: str = ""


@dataclass(frozen=True, slots=True)
class SourceTree:
    """The pictures below ``root``, sorted by name: the order in which the file system lists them never shows."""

    root: Path
    files: tuple[SourceFile, ...]
    #: What was passed over and why, for the user to know.
    warnings: tuple[str, ...]

    def fingerprint(self) -> str:
        """Digest names, sizes and times of change: another digest means that pictures came, went or were changed."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.size_bytes} {file.changed_ns} {file.told}".encode() + os.fsencode(file.name) + b"\0")
        return digest.hexdigest()


def list_tree(root: Path, *, depth: int = 0, roots: DataRoots = ANYWHERE) -> SourceTree:
    """List the pictures below ``root`` that lie at least ``depth`` folders deep.

    Hidden files and folders are left out. Links to folders are not followed, links to files only into the data roots;
    both are warned of.

    Raises:
        NoPicturesError: There are none.
        DatasetError: ``root`` is no folder, or a folder cannot be listed.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder", "Check the path.")
    warnings: list[str] = []
    try:
        found = list(_files_below(root, roots, warnings))
    except OSError as error:
        raise DatasetError(f"cannot read {error.filename}: {error.strerror}", "Check the folder's rights.") from error
    files = sorted((file for file in found if file.name.count("/") >= depth), key=lambda file: file.name)
    if not files:
        where = "" if depth == 0 else " in class folders"
        hint = f"Give files that end in {', '.join(PICTURE_EXTENSIONS)}{where}."
        raise NoPicturesError(f"there is no picture{where} below {root}", "; ".join([hint, *warnings[:3]]))
    return SourceTree(root, tuple(files), tuple(sorted(warnings)))


def list_dataset(dataset: Path, *, roots: DataRoots = ANYWHERE) -> SourceTree:
    """List the pictures in class folders of train and valid; one of the two suffices.

    Raises:
        NoPicturesError: There are none.
    """
    tree = list_tree(dataset, depth=2, roots=roots)
    files = tuple(file for file in tree.files if file.name.partition("/")[0] in DATASET_PARTS)
    if not files:
        problem = f"there is no picture in the class folders of {dataset}/train and {dataset}/valid"
        raise NoPicturesError(problem, "Give a dataset as split makes it: train/<class>/<picture>, valid/<class>/<picture>.")
    return SourceTree(dataset, files, tree.warnings)


def list_file(path: Path) -> SourceTree:
    """List a single picture, as a tree of its own.

    Raises:
        NoPicturesError: It has no picture's name, or is not there.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise NoPicturesError(f"cannot read {path}: {error.strerror}", "Check the path.") from error
    if not path.name.lower().endswith(PICTURE_EXTENSIONS):
        raise NoPicturesError(f"{path} is no picture", f"Give a file that ends in {', '.join(PICTURE_EXTENSIONS)}.")
    return SourceTree(path.parent, (SourceFile(path.name, status.st_size, status.st_mtime_ns),), ())


def refuse_output_within(source: Path, output: Path, *, source_field: str) -> None:
    """Refuse an output folder that a second run would take for input.

    Raises:
        ConfigError: ``output`` is ``source`` or lies in it.
    """
    if output.resolve().is_relative_to(source.resolve()):
        raise ConfigError(
            f"output_path {output} lies within {source_field} {source}: the results would be taken for input",
            f"Choose a folder beside {source.name or source}.",
        )


def named(path: str, suffix: str) -> str:
    """Give a path with ``suffix`` added to the stem of its file name."""
    pure = PurePosixPath(path)
    return str(pure.with_name(f"{pure.stem}{suffix}{pure.suffix}"))


def printable(name: str) -> str:
    """Give a file name as text that any log can hold: bytes that are no UTF-8 become question marks."""
    return os.fsencode(name).decode("utf-8", "replace")


def _files_below(root: Path, roots: DataRoots, warnings: list[str]) -> Iterator[SourceFile]:
    """Yield the pictures of a tree, noting what is passed over."""
    pending = [""]
    while pending:
        prefix = pending.pop()
        with os.scandir(root / prefix) as entries:
            for entry in entries:
                name = prefix + entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    pending.append(f"{name}/")
                elif reason := _reason_to_skip(entry, roots):
                    warnings.append(f"{printable(name)} is skipped: {reason}")
                elif entry.name.lower().endswith(PICTURE_EXTENSIONS) and entry.is_file():
                    status = entry.stat()
                    yield SourceFile(name, status.st_size, status.st_mtime_ns)


def _reason_to_skip(entry: os.DirEntry[str], roots: DataRoots) -> str:
    """Say what speaks against a link; nothing does against what is none."""
    if not entry.is_symlink():
        return ""
    if entry.is_dir():
        return "links to folders are not followed"
    if entry.name.lower().endswith(PICTURE_EXTENSIONS) and not roots.holds(Path(os.path.realpath(entry.path))):
        return "it is a link that leads out of the data roots"
    return ""
