"""The files of a training: made in the staging folder, then handed over under their final names.

Owns which files there are, what they are called and in which order they appear. ``last.ckpt`` comes after the weights of
its epoch, so that whoever resumes from it finds them all. What is in them comes from elsewhere, and how one checkpoint follows
another is ``checkpoint_history``'s to say.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from torch import Tensor

from actors.files.atomic import move_into_place, output_error, sync_folder, write_atomically, write_text_atomically
from actors.learning.catalog import MODELS
from actors.learning.checkpoint import ResumeState, write_resume_state, write_tensors
from actors.learning.checkpoint_history import CheckpointHistory, FoundState
from actors.learning.model_card import CARD_FILE, ModelCard, write_model_card
from actors.learning.plan import CHECKPOINT_LIST, RESUME_STATE, TrainingPlan
from actors.learning.snapshots import in_default_order

BEST_WEIGHTS: Final = "best_model.pth"
LOG: Final = "train.log"
_COPY_BYTES: Final = 1 << 20

#: Hands finished files over under their final names, in the order given and all under one proof of the lease; it may refuse by raising.
PublishAll = Callable[[Sequence[tuple[Path, str]]], None]


class Outputs:
    """Writes the files of one training, whole or not at all.

    Used by one thread at a time.
    """

    def __init__(self, plan: TrainingPlan, publish_all: PublishAll | None) -> None:
        self._plan = plan
        self._publish_all = publish_all or self._move_into_place
        self._history = CheckpointHistory(plan.output_dir, plan.task_id)
        self._written: dict[str, None] = {}
        try:
            plan.staging_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(plan.staging_dir, error) from error

    @property
    def written(self) -> tuple[str, ...]:
        """The final names of the files handed over and not removed since, oldest first."""
        return tuple(self._written)

    def earlier_log(self) -> str:
        """Read the log that an earlier attempt left in the output folder; nothing where there is none."""
        log = self._plan.output_dir / LOG
        return log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""

    def adopt(self, found: FoundState) -> bool:
        """Take over the files that an earlier attempt wrote beside its checkpoint.

        Returns:
            Whether the best weights of that attempt are in the output folder.
        """
        folder = found.path.parent
        if folder.resolve() == self._plan.output_dir.resolve():
            self._history.adopt(found)
            self._written = dict.fromkeys(name for name in found.state.files if (folder / name).is_file())
        else:
            for name in (BEST_WEIGHTS, CARD_FILE):
                if (folder / name).is_file():
                    self._hand_over_copy(folder / name)
        return BEST_WEIGHTS in self._written

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        self._hand_over(name, lambda path: write_text_atomically(path, text))

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file of bytes."""

        def write(file: BinaryIO) -> None:
            file.write(content)

        self._hand_over(name, lambda path: write_atomically(path, write))

    def write_weights(self, epoch: int, weights: Mapping[str, Tensor], best: ModelCard | None) -> None:
        """Write the weights of an epoch and, where they are the best so far, again as such with their card."""
        name = self._weights_name(epoch)
        staged = self._staged(name)
        digest = write_tensors(staged, in_default_order(weights))
        if best is not None:
            # Copied before it is handed over, since it is out of reach then; not linked, since a link would let a later
            # change of one file change the other.
            self._hand_over_copy(staged, BEST_WEIGHTS)
            card = replace(best, weights_sha256=digest.sha256)
            self._hand_over(CARD_FILE, lambda path: write_model_card(path, card))
        self._hand_over(name)
        self._drop_old_weights(epoch)

    def write_resume_state(self, state: ResumeState) -> None:
        """Write the checkpoint that another attempt can continue from, with the names of the files that it finds."""
        whole = replace(state, files=[*self._written, RESUME_STATE, CHECKPOINT_LIST])
        staged, staged_list = self._staged(RESUME_STATE), self._staged(CHECKPOINT_LIST)
        listed = self._history.add(whole, write_resume_state(staged, whole))
        listed.write(staged_list)
        self._publish(self._history.succession(staged, staged_list))
        self._sync()
        self._history.published(listed)

    def _hand_over(self, name: str, make: Callable[[Path], None] | None = None) -> None:
        """Make a file in the staging folder, unless it is there, and publish it."""
        staged = self._staged(name)
        if make is not None:
            make(staged)
        self._publish([(staged, name)])

    def _publish(self, files: Sequence[tuple[Path, str]]) -> None:
        """Give files their final names, in this order."""
        try:
            self._publish_all(files)
        except OSError as error:
            raise output_error(self._plan.output_dir / files[-1][1], error) from error
        self._written.update(dict.fromkeys(name for _, name in files))

    def _move_into_place(self, files: Sequence[tuple[Path, str]]) -> None:
        """Publish without a proof, where nobody else writes."""
        for staged, name in files:
            move_into_place(staged, self._plan.output_dir / name)

    def _sync(self) -> None:
        """Make all that was published durable: nobody else need do so, and a checkpoint is what a power cut may leave."""
        try:
            sync_folder(self._plan.output_dir)
        except OSError as error:
            raise output_error(self._plan.output_dir, error) from error

    def _hand_over_copy(self, source: Path, name: str | None = None) -> None:
        """Publish a copy of a file, under its own name unless another is given."""
        self._hand_over(name or source.name, lambda path: write_atomically(path, lambda file: _copy(source, file)))

    def _staged(self, name: str) -> Path:
        """Tell where a file is made."""
        return self._plan.staging_dir / name

    def _weights_name(self, epoch: int) -> str:
        """Name the weights of an epoch as RFUAV does."""
        return f"{MODELS[self._plan.model].class_name}_epoch_{epoch}.pth"

    def _drop_old_weights(self, epoch: int) -> None:
        """Remove the per-epoch weights that the plan does not keep, once newer ones are in place."""
        keep = self._plan.keep_checkpoints
        if keep is None:
            return
        # Only what this training wrote: another one's weights may lie in the same folder under such names.
        for name in {self._weights_name(old) for old in range(1, epoch - keep + 1)} & self._written.keys():
            (self._plan.output_dir / name).unlink(missing_ok=True)
            del self._written[name]


def _copy(source: Path, target: BinaryIO) -> None:
    """Copy a file's content."""
    with source.open("rb") as file:
        shutil.copyfileobj(file, target, _COPY_BYTES)
