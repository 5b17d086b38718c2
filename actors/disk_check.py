"""Whether the disk has room for what a task will write, asked before it waits in line.

Looks at the sizes of files and opens none. What other tasks are still going to write is not known here, so this is no promise: a disk
that fills up later ends an attempt with an error that says so. It must not import torch.
"""

import re
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from actors.core.errors import SubmissionError
from actors.learning.catalog import MODELS
from actors.learning.class_tree import ClassTree
from actors.learning.memory_costs import COSTS
from actors.learning.memory_need import in_gib
from actors.learning.plan import PREVIOUS_STATE, RESUME_STATE

_WEIGHT_BYTES: Final = 4
#: A weight and the two moments of Adam.
_STATE_BYTES: Final = 12
#: The last checkpoint, the one before it, and the next one while it is written.
_STATES: Final = 3
_COLOUR_BYTES: Final = 3
#: The large files of every training that the next one in the same folder writes anew.
_REPLACED: Final = frozenset({"best_model.pth", RESUME_STATE, PREVIOUS_STATE})


@dataclass(frozen=True, slots=True)
class DiskNeed:
    """What a task will write: at least so much, if it comes to its end, and at most so much at once."""

    least_bytes: int
    most_bytes: int


def check_training_room(request: Mapping[str, Any], output: Path, pictures_bytes: int = 0) -> str:
    """Compare what a training writes with the room there is; returns a warning, "" where there is plenty.

    Args:
        request: Checked in every other respect.
        output: Its output folder, which need not exist.
        pictures_bytes: What decoded pictures take beside it, as ``decoded_bytes`` tells.

    Raises:
        SubmissionError: It cannot come to its end here.
    """
    room = _room_at(output) + _replaced_bytes(request, output) - pictures_bytes
    fitting = (room - _fixed_bytes(request, _STATES)) // _weights_bytes(request)
    remedies = ["free some space there", "choose another save_path"]
    if 1 <= fitting < _kept_epochs(request):
        remedies.insert(0, f"set keep_checkpoints to {fitting} or less")
    told = f"{request['model']} for {request['num_epochs']} epochs"
    return _compare(training_need(request), room, ("save_path", output), told, remedies)


def training_need(request: Mapping[str, Any]) -> DiskNeed:
    """Estimate what a training writes: the weights that it keeps, the best ones again, and the states to resume from.

    A head of another width than RFUAV's 37 classes is charged as that one, and tables, pictures and logs as nothing.
    """
    epochs, patience = request["num_epochs"], request.get("early_stopping_patience")
    least_epochs = epochs if patience is None else min(epochs, patience + 1)
    kept, weights = _kept_epochs(request), _weights_bytes(request)
    # As many states at once take as many epochs, unless some are written within an epoch.
    least = _fixed_bytes(request, min(_STATES, least_epochs)) + min(kept, least_epochs) * weights
    return DiskNeed(least, _fixed_bytes(request, _STATES) + kept * weights)


def decoded_bytes(trees: Iterable[ClassTree], request: Mapping[str, Any], cache_bytes: int) -> int:
    """Tell how much decoded pictures take of the disk while a training runs: those that exceed the memory they may take.

    Every device of a gang has its own, and its part of the memory.
    """
    gang = request.get("num_gpus") or 1
    left, on_disk = cache_bytes // gang, 0
    for tree in trees:
        size = len(tree.samples) * request["image_size"] ** 2 * _COLOUR_BYTES if tree.kind == "pictures" else 0
        on_disk += size if size > left else 0
        left = max(0, left - size)
    return on_disk * gang


def check_copies_room(need: DiskNeed, output: Path) -> str:
    """Compare what a preprocessing task writes with the room there is; returns a warning, "" where there is plenty.

    Where the output folder holds something already, an earlier run may have written a part of it, and nothing is said.

    Raises:
        SubmissionError: It cannot come to its end here.
    """
    if _sizes_in(output):
        return ""
    remedies = ["free some space there", "choose another output_path"]
    return _compare(need, _room_at(output), ("output_path", output), "the copies", remedies)


def _compare(need: DiskNeed, room: int, place: tuple[str, Path], told: str, remedies: list[str]) -> str:
    """Refuse what cannot fit, and warn of what takes more than half of the room or may not fit; ``place`` is a field and its value."""
    hint = ", or ".join([", ".join(remedies[:-1]), remedies[-1]])
    if need.least_bytes > room:
        problem = (
            f"{told} would take about {in_gib(need.least_bytes)}, and {in_gib(max(0, room))} are free at {place[0]} {place[1]}"
        )
        raise SubmissionError("disk_need_exceeds_room", place[0], problem, hint)
    if need.most_bytes <= room // 2:
        return ""
    return f"{told} may take about {in_gib(need.most_bytes)}, and {in_gib(room)} are free at {place[0]} {place[1]}; {hint}"


def _weights_bytes(request: Mapping[str, Any]) -> int:
    return _WEIGHT_BYTES * COSTS[request["model"]].parameters


def _kept_epochs(request: Mapping[str, Any]) -> int:
    """Of how many epochs the weights stay, if it goes through all of them."""
    epochs, keep = int(request["num_epochs"]), request.get("keep_checkpoints", "all")
    return epochs if keep == "all" else min(int(keep), epochs)


def _fixed_bytes(request: Mapping[str, Any], states: int) -> int:
    """What a training writes however many epochs it keeps: the best weights and the states that there are at once."""
    return _weights_bytes(request) + states * _STATE_BYTES * COSTS[request["model"]].parameters


def _room_at(folder: Path) -> int:
    """The free bytes of the file system that a folder lies on, or will lie on."""
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free


def _sizes_in(folder: Path) -> dict[str, int]:
    """The bytes of what a folder holds, by name; nothing where it is missing or cannot be listed: the attempt will say why."""
    with suppress(OSError):
        return {file.name: file.lstat().st_size for file in folder.iterdir()}
    return {}


def _replaced_bytes(request: Mapping[str, Any], output: Path) -> int:
    """What an earlier training left under the names of this one's files: it is replaced, one file at a time."""
    epoch_file = re.compile(rf"{MODELS[request['model']].class_name}_epoch_(\d+)\.pth")
    replaced = 0
    for name, size in _sizes_in(output).items():
        epoch = epoch_file.fullmatch(name)
        is_ours = int(epoch[1]) <= request["num_epochs"] if epoch else name in _REPLACED
        replaced += size if is_ours else 0
    return replaced
