"""ImageNet weights: found on this machine, fetched once, or refused by name.

Owns where the files are kept (torch hub's folder) and how one is fetched. It knows nothing of models.
"""

import hashlib
import urllib.request
from pathlib import Path
from typing import BinaryIO

import torch

from actors.files.atomic import write_atomically
from actors.files.errors import WorkError
from actors.learning.errors import WeightsNotFoundError

_SOURCE = "https://download.pytorch.org/models/"
#: Seconds without an answer after which the network counts as unreachable.
_SILENCE_S = 10.0
_BLOCK_BYTES = 1 << 20


def pretrained_file(file_name: str, folder: Path | None = None) -> Path:
    """Give the path of a pretrained weights file, fetching it where it is missing.

    Raises:
        WeightsNotFoundError: It is neither in the folder nor to be had from the network.
    """
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / file_name
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: _fetch(file_name, file))
    except (OSError, WorkError) as error:
        raise WeightsNotFoundError(
            f"pretrained weights {file_name} are not in {folder} and cannot be fetched from {_SOURCE}: {error}",
            f"Put {file_name} into {folder}, give weight_path, or set pretrained to false.",
        ) from error
    return path


def _fetch(file_name: str, target: BinaryIO) -> None:
    """Copy a file of torchvision's store into ``target`` and check the digest that its name ends in."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(_SOURCE + file_name, timeout=_SILENCE_S) as answer:  # noqa: S310 (a fixed https address)
        while block := answer.read(_BLOCK_BYTES):
            digest.update(block)
            target.write(block)
    if not digest.hexdigest().startswith(Path(file_name).stem.rsplit("-", 1)[-1]):
        raise OSError("the file that arrived is damaged")
