"""Names the pictures of recordings, so that the rule of ``recordings`` finds the recording again.

Owns these names. A picture is called ``<recording>_<frame index>.png`` and lies where its recording did. The recording's name is
its file's without the ending; two such files that differ only there keep it. A name that tells nothing (``capture.iq``, or that
of the class) would make each frame a recording of its own: it gets an ``r`` in front.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Final

from actors.preprocessing.recordings import recording_of

_MARK: Final = "r"


def picture_stems(names: Iterable[str]) -> Mapping[str, str]:
    """Give each recording what the names of its pictures start with; no two get the same.

    Args:
        names: Paths of recordings below the input folder, with forward slashes.

    Returns:
        Paths by the names, to which ``picture_name`` adds.
    """
    paths = [PurePosixPath(name) for name in sorted(names)]
    alike = Counter(path.with_suffix("") for path in paths)
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for path in paths:
        label = path.stem if alike[path.with_suffix("")] == 1 else path.name
        while (stem := str(path.with_name(label))) in taken or not _tells_its_recording(stem):
            label = _MARK + label
        taken.add(stem)
        stems[str(path)] = stem
    return stems


def picture_name(stem: str, index: int) -> str:
    """Name the picture of a frame."""
    return f"{stem}_{index}.png"


def group_of(stem: str) -> str:
    """Tell, of a recording by its stem, what may not be divided: pieces of one long recording belong together."""
    return recording_of(_in_a_class(picture_name(stem, 0)))


def _tells_its_recording(stem: str) -> bool:
    """Tell whether all frames are seen to be of one recording, and not of everything in the folder."""
    group = group_of(stem)
    return not group.endswith("/") and group == recording_of(_in_a_class(picture_name(stem, 1)))


def _in_a_class(name: str) -> str:
    """Give a name as the rule wants it: where there are no class folders, the class is nothing."""
    return name if "/" in name else f"/{name}"
