"""What a training says while it runs: records to whoever listens, and the lines of ``train.log``.

Owns the wording of progress and how often it is told. It writes no file.
"""

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Final, Literal

from actors.learning.plan import Stage, TrainingPlan, TrainingRecord

Report = Callable[[TrainingRecord], None]

#: Seconds between two records about batches.
_PULSE_S: Final = 1.0


class Journal:
    """Reports the stages of one training, and keeps what it said as text.

    Lines are only ever added.
    """

    def __init__(self, plan: TrainingPlan, report: Report, earlier: str = "") -> None:
        self._plan = plan
        self._report = report
        self._lines = [earlier] if earlier else []
        self._told_at = -math.inf
        self._progress = 0

    def text(self) -> str:
        """Give all lines so far, those of earlier attempts included."""
        return "".join(self._lines)

    def note(self, message: str, *, level: Literal["INFO", "WARNING"] = "INFO") -> None:
        """Tell something outside the stages of an epoch."""
        self._tell(TrainingRecord(level, message, None, None, self._progress, 0, self._plan.num_epochs))

    def epoch_started(self, epoch: int, position: int) -> None:
        """Tell that an epoch begins, or goes on from its picture number ``position``."""
        start = f" at picture {position}" if position else ""
        self._stage(Stage.EPOCH_START, f"Epoch {epoch}/{self._plan.num_epochs} started{start}", epoch)

    def learning(self, epoch: int, step: int, steps: int, measure: Callable[[], Mapping[str, float]]) -> None:
        """Tell about the first batch, and from then on about the batches so far, no more often than listeners can use.

        ``measure`` is called only then: on a GPU it waits for all work handed out before.
        """
        if monotonic() - self._told_at < _PULSE_S:
            return
        self._told_at = monotonic()
        metrics = measure()
        # The last percent of an epoch's share belongs to its validation and its files.
        self._progress = int(100 * (epoch - 1 + 0.99 * step / steps) / self._plan.num_epochs)
        figures = f"train_loss {metrics['train_loss']:.4f}, train_acc {metrics['train_acc']:.2f} %"
        message = f"Epoch {epoch}/{self._plan.num_epochs}, batch {step}/{steps}: {figures}"
        self._stage(Stage.TRAINING, message, epoch, step=step, metrics=metrics)

    def validating(self, epoch: int, pictures: int) -> None:
        """Tell that a validation begins."""
        self._stage(Stage.VALIDATION, f"Epoch {epoch}/{self._plan.num_epochs}: validating on {pictures} pictures", epoch)

    def epoch_ended(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell the results of an epoch."""
        self._progress = min(99, int(100 * epoch / self._plan.num_epochs))
        message = (
            f"Epoch {epoch}/{self._plan.num_epochs} ended: train_loss {metrics['train_loss']:.4f}, "
            f"train_acc {metrics['train_acc']:.2f} %, val_loss {metrics['val_loss']:.4f}, "
            f"val_acc {metrics['val_acc']:.2f} %, macro_f1 {metrics['macro_f1']:.4f}, best {metrics['best_acc']:.2f} %"
        )
        self._stage(Stage.EPOCH_END, message, epoch, metrics=metrics)

    def completed(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Tell that the training is complete and its files are in place."""
        self._progress = 100
        message = f"Training completed after {epoch} epochs: best val_acc {metrics['best_acc']:.2f} %"
        self._stage(Stage.COMPLETED, message, epoch, metrics=metrics)

    def _stage(
        self,
        stage: Stage,
        message: str,
        epoch: int,
        *,
        step: int | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Tell one record of an epoch."""
        self._tell(TrainingRecord("INFO", message, stage, step, self._progress, epoch, self._plan.num_epochs, metrics))

    def _tell(self, record: TrainingRecord) -> None:
        """Report a record and keep its line."""
        now = datetime.now(tz=UTC).isoformat(timespec="milliseconds")
        self._lines.append(f"{now} {record.level} {record.message}\n")
        self._report(record)
