"""The list that lies beside the checkpoints of a training: what each file must hold, and whose they are.

Owns the format of ``checkpoints.json``, and what an output folder offers to continue from. It reads no checkpoint and must not
import torch: whoever checks submissions asks it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from actors.files.atomic import write_text_atomically
from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.errors import CheckpointError
from actors.learning.plan import CHECKPOINT_LIST, PREVIOUS_STATE, RESUME_STATE

FORMAT_VERSION: Final = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointEntry:
    """One checkpoint as it was written. The field names are those of the file."""

    sha256: str
    bytes: int
    #: Epochs done, and pictures done of the one after those.
    epoch: int
    position: int
    #: In UTC, as ISO 8601 writes it.
    written_at: str

    def __str__(self) -> str:
        """Tell people which one it is."""
        return f"epoch {self.epoch + 1} after {self.position} pictures, written at {self.written_at}"


@dataclass(frozen=True, slots=True)
class CheckpointList:
    """The checkpoints of one training, newest first; a file that is not listed is none of them."""

    task_id: str
    checkpoints: tuple[CheckpointEntry, ...]

    def entry_of(self, sha256: str) -> CheckpointEntry | None:
        """Find a checkpoint by what its file holds."""
        return next((entry for entry in self.checkpoints if entry.sha256 == sha256), None)

    def write(self, path: Path) -> None:
        """Write the list atomically.

        Raises:
            OutputError: As ``write_atomically``.
        """
        entries = [asdict(entry) for entry in self.checkpoints]
        content = {"format_version": FORMAT_VERSION, "task_id": self.task_id, "checkpoints": entries}
        write_text_atomically(path, json.dumps(content, indent=1) + "\n")


def read_checkpoint_list(folder: Path, *, roots: DataRoots = ANYWHERE) -> CheckpointList | None:
    """Read the list in a folder, or give None where there is none.

    Raises:
        OutsideRootsError: It is a link that leads out of ``roots``.
        CheckpointError: It is damaged, or of another format version.
    """
    path = folder / CHECKPOINT_LIST
    try:
        with roots.open(path) as file:
            return _parse(json.load(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is no readable list of checkpoints: {error}", "Remove it to go without.") from error


def find_checkpoint(folder: Path, task_id: str | None = None) -> Path | None:
    """Tell which file of a folder to continue from, or give None where there is nothing.

    Which of the two it names matters little: where one is damaged, the other is read.

    Args:
        folder: The output folder of a training.
        task_id: Look for what this task wrote only: another one's may lie in the same folder.
    """
    path = next((folder / name for name in (RESUME_STATE, PREVIOUS_STATE) if (folder / name).is_file()), None)
    if path is None or task_id is None:
        return path
    try:
        listed = read_checkpoint_list(folder)
    except CheckpointError:
        return path
    return path if listed is None or listed.task_id == task_id else None


def _parse(content: Mapping[str, Any]) -> CheckpointList:
    """Build a list of what JSON holds. Raises ValueError, KeyError or TypeError where that is not one."""
    if content["format_version"] != FORMAT_VERSION:
        raise ValueError(f"its format version is {content['format_version']}, not {FORMAT_VERSION}")
    return CheckpointList(str(content["task_id"]), tuple(CheckpointEntry(**entry) for entry in content["checkpoints"]))
