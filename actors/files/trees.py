"""Lists the files of a folder tree.

Owns what is passed over: hidden files and folders, excluded folders, links to folders. It knows nothing of what the files
hold and must not import torch.
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from actors.files.errors import DatasetError


def files_below(folder: Path, excluded: Collection[Path] = ()) -> Iterator[Path]:
    """Yield the files of a tree, without hidden ones and without what lies below the excluded folders.

    Without recursion, which a deep enough tree would exhaust.

    Args:
        folder: Where to look; links to folders in it are not followed.
        excluded: Absolute paths, free of links.

    Raises:
        DatasetError: A folder in the tree cannot be listed.
    """
    waiting = [folder]
    while waiting:
        parent = waiting.pop()
        if parent.resolve() in excluded:
            continue
        for entry in _list(parent):
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                waiting.append(parent / entry.name)
            elif not entry.is_dir():
                yield parent / entry.name


def _list(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder, failing where that cannot be done: passing over it in silence would lose its files."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DatasetError(f"cannot list {error.filename}: {error.strerror}", "Check the folder's rights.") from error
