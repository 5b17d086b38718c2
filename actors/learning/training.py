"""The training loop.

Reads as a story: `train` prepares, `_Attempt.run` goes through the epochs, the methods below it are its steps in order.
Owns what happens when; what a batch, a step of learning, a metric or a file is belongs to the modules it calls. It does
not know who runs it: records, the wish to stop and finished files pass through the callables it is given.

Several processes may run it together, each with a rank of its own (see ``parallel``). They go through the same story step by
step and hold the same weights and figures; only the first one tells it and writes files.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic
from typing import Any, Literal

import torch

from actors.learning.artifacts import config_yaml, confusion_png
from actors.learning.background_writer import BackgroundWriter
from actors.learning.batch_norm import has_slow_statistics, remeasure_statistics
from actors.learning.checkpoint import ResumeState
from actors.learning.checkpoint_history import FoundState, read_newest_state
from actors.learning.data import BatchSource
from actors.learning.dataset import Dataset, load_dataset
from actors.learning.device_failures import device_failures_explained
from actors.learning.errors import CheckpointError
from actors.learning.history_files import CONFUSION_JSON, METRICS_CSV, confusion_json, metrics_csv
from actors.learning.journal import Journal, Report
from actors.learning.learner import Learner
from actors.learning.metrics import ValidationMetrics, validation_metrics
from actors.learning.model_card import ModelCard
from actors.learning.outputs import LOG, Outputs, PublishAll
from actors.learning.parallel import Gang, join
from actors.learning.plan import Stage, TrainingOutcome, TrainingPlan, TrainingRecord
from actors.learning.progress import Progress
from actors.learning.snapshots import StateCopy

__all__ = ["Stage", "TrainingOutcome", "TrainingPlan", "TrainingRecord", "train"]

ShouldStop = Callable[[], bool]


def train(
    plan: TrainingPlan,
    *,
    report: Report,
    should_stop: ShouldStop,
    publish_all: PublishAll | None = None,
    checkpoint_every_s: float | None = None,
) -> TrainingOutcome:
    """Train a network as planned, from the beginning or from ``plan.resume_from``.

    With ``plan.world_size`` above 1, as many processes call this at once, each with its own rank and device. A step then
    learns from that many times ``batch_size`` pictures. All ranks return the same figures; the first one's records, files
    and refusals stand for all. A state saved by any number of ranks can be continued by any other number.

    Args:
        plan: What to train, on what, and where the results go.
        report: Called in this thread with every record; of several ranks, by the first one.
        should_stop: Asked before every batch; once true, the state is saved and the call returns. Several ranks stop
            together once one of them is to stop.
        publish_all: Called with finished files and their final names, in this thread or in the one that writes, never in
            both at once; moves the files into the output folder where not given. What it raises ends the training. Of
            several ranks, the first one calls it.
        checkpoint_every_s: Seconds between checkpoints within an epoch, or more where the disk takes longer for one; at the
            end of an epoch there always is one.

    Raises:
        ConfigError: The model and its settings do not go together.
        DatasetError: The trees cannot be trained on (UnreadablePictureError: some picture cannot be decoded;
            UnusableRecordingError: no frames can be made of some recording).
        RecipeError: A field of the recipe for recordings cannot be used, or it gives too many frames.
        SampleRateError: It names no rate, and the recordings have different ones.
        WeightsError: The weights to begin with cannot be had or do not fit.
        CheckpointError: The state to resume from cannot be read or is of another training.
        CheckpointUnavailableError: The machine could not read it at present.
        OutputError: A file cannot be written (DiskFullError: for lack of room).
        TrainingDivergedError: The loss is no number any more.
        GpuOutOfMemoryError: The GPU memory that this process may use does not suffice.
        RankLostError: Another rank ended, or does not answer.
    """
    earlier = read_newest_state(plan.resume_from, roots=plan.roots) if plan.resume_from else None
    if earlier is not None:
        plan = replace(plan, seed=earlier.state.seed, threads=earlier.state.threads)
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    outputs = Outputs(plan, publish_all)
    # The ranks have all read the state to resume from when they have met; only then may the first one replace it.
    with join(plan) as gang, device_failures_explained(plan):
        journal = Journal(plan, report if gang.is_first else _ignore, outputs.earlier_log() if earlier is not None else "")
        for warning in earlier.warnings if earlier is not None else ():
            journal.note(warning, level="WARNING")
        should_stop = gang.agreed(should_stop)
        dataset = load_dataset(plan, journal, should_stop)
        if dataset is None:
            return TrainingOutcome("stopped", earlier.state.progress["epoch"] if earlier else 0)
        # Bound to no name, so that its network lets go of the group before the group ends.
        return _Attempt(plan, dataset, gang, journal=journal, outputs=outputs).run(
            should_stop, checkpoint_every_s or math.inf, earlier
        )


def _ignore(_record: TrainingRecord) -> None:
    """Say nothing: the first rank speaks for all."""


class _Attempt:
    """One run through the epochs that are left, from its first batch to its last file."""

    def __init__(self, plan: TrainingPlan, dataset: Dataset, gang: Gang, *, journal: Journal, outputs: Outputs) -> None:
        self._plan = plan
        self._dataset = dataset
        self._gang = gang
        self._journal = journal
        self._outputs = outputs
        self._writer = BackgroundWriter()
        #: Belongs to the writer while it is not idle.
        self._copy = StateCopy()
        self._has_reserved = False
        self._learner = Learner(plan, dataset.counts, gang)
        self._remeasures = has_slow_statistics(self._learner.model)
        device, size = self._learner.device, plan.batch_size
        self._source = BatchSource(dataset.train, size, device, plan.seed, plan.shuffle, gang)
        self._val_source = BatchSource(dataset.val, size, device, gang=gang)
        self._progress = Progress(plan.num_epochs)

    def run(self, should_stop: ShouldStop, checkpoint_every_s: float, earlier: FoundState | None) -> TrainingOutcome:
        """Go through the epochs, those that ``earlier`` leaves.

        Raises:
            CheckpointError: That state is of another model or of other classes.
        """
        if not self._gang.is_alone:
            together = f"{self._gang.world_size} devices train together"
            self._journal.note(f"{together}, on {self._plan.batch_size} pictures each at every step")
        if earlier is not None:
            self._resume(earlier)
        if self._gang.is_first:
            self._outputs.write_text("config.yaml", config_yaml(self._plan, self._dataset.classes, self._dataset.recipe))
        with self._writer:
            while not self._progress.is_over(self._plan.early_stopping_patience):
                if not self._learn_epoch(should_stop, checkpoint_every_s):
                    return self._stop()
                validation = self._validate(should_stop)
                if validation is None:
                    return self._stop()
                self._close_epoch(validation)
            return self._complete()

    def _resume(self, found: FoundState) -> None:
        """Continue where another attempt left off.

        Raises:
            CheckpointError: The state is of another model or of other classes.
        """
        state = found.state
        changed = [key for key, value in self._identity().items() if state.identity.get(key) != value]
        if changed:
            raise CheckpointError(
                f"{found.path} is of a training with another {' and '.join(changed)}",
                "Resume with the same model, image_size, num_classes and class folders, or start anew.",
            )
        self._learner.restore(state.model, state.optimizer, state.scaler)
        self._progress = Progress.from_dict(state.progress, self._plan.num_epochs)
        if state.dataset != self._dataset.train.fingerprint:
            self._progress.restart_epoch()
            self._journal.note("The training pictures have changed: the epoch starts over", level="WARNING")
        if not self._gang.is_any(self._gang.is_first and self._outputs.adopt(found)):
            # The best weights are not at hand, so the next epoch's are.
            self._progress.best_epoch = 0
        self._journal.note(f"Resuming after {self._progress.epoch} epochs and {self._progress.position} pictures")
        torch.set_rng_state(state.rng_cpu)
        if state.rng_cuda is not None and self._learner.device.type == "cuda":
            torch.cuda.set_rng_state(state.rng_cuda, self._learner.device)

    def _learn_epoch(self, should_stop: ShouldStop, checkpoint_every_s: float) -> bool:
        """Learn from the batches of the epoch that are left; tell whether it came to its end."""
        progress, saved_at = self._progress, monotonic()
        steps = len(self._source.bounds())
        self._journal.epoch_started(progress.current_epoch, progress.position)
        self._learner.model.train()
        for batch in self._source.batches(progress.epoch, start=progress.position):
            if should_stop():
                return False
            self._gang.seed_step(self._plan.seed, progress.epoch, progress.position)
            loss_sum, correct = self._learner.learn(batch)
            progress.count_batch(loss_sum, correct, len(batch.whole_labels))
            self._journal.learning(progress.current_epoch, progress.step, steps, progress.train_metrics)
            self._reserve()
            # One that the disk has not taken yet is not waited for: the next batch asks again.
            if monotonic() - saved_at >= checkpoint_every_s and self._writer.is_idle:
                self._save_state()
                saved_at = monotonic()
        return True

    def _validate(self, should_stop: ShouldStop) -> ValidationMetrics | None:
        """Measure the network on the validation pictures, or give None where asked to stop."""
        epoch = self._progress.epoch
        self._journal.validating(self._progress.current_epoch, len(self._dataset.val))
        if self._remeasures and not remeasure_statistics(self._learner.model, self._source, epoch, should_stop):
            return None
        self._learner.model.eval()
        logits = []
        for batch in self._val_source.batches(epoch):
            if should_stop():
                return None
            logits.append(self._learner.predict(batch))
        labels = self._dataset.val.labels
        whole = self._val_source.gathered(torch.cat(logits))
        return validation_metrics(whole, labels, class_weights=self._learner.class_weights)

    def _close_epoch(self, validation: ValidationMetrics) -> None:
        """Book the results of an epoch and let its files be written while the next one begins."""
        is_best = self._progress.close_epoch(validation, self._learner.learning_rate)
        epoch, history = self._progress.epoch, list(self._progress.history)
        self._journal.epoch_ended(epoch, history[-1])
        if not self._gang.is_first:
            return
        card = self._card() if is_best else None
        state = self._state()
        log = self._journal.text()
        confusion = self._progress.confusion  # the next epoch makes a new one

        def write() -> None:
            self._outputs.write_weights(epoch, state.model, card)
            self._outputs.write_resume_state(state)
            self._write_figures(epoch, history, confusion)
            self._outputs.write_text(LOG, log)

        self._writer.hand_over(write)

    def _write_figures(self, epoch: int, history: Sequence[Mapping[str, float]], confusion: Sequence[Sequence[int]]) -> None:
        """Write what was measured up to an epoch."""
        self._outputs.write_text(METRICS_CSV, metrics_csv(history))
        self._outputs.write_text(CONFUSION_JSON, confusion_json(confusion, self._dataset.classes, epoch))

    def _reserve(self) -> None:
        """Let the memory for checkpoints be made beside the second batch: the optimiser's part of it has its shape after the first."""
        if self._gang.is_first and not self._has_reserved:
            self._has_reserved = True
            state = self._learner.state()
            self._writer.hand_over(lambda: self._copy.reserve(state))

    def _save_state(self) -> None:
        """Let a checkpoint be written while the epoch goes on; the first rank's stands for all."""
        if not self._gang.is_first:
            return
        state = self._state()
        self._writer.hand_over(lambda: self._outputs.write_resume_state(state))

    def _stop(self) -> TrainingOutcome:
        """Save the state so that another attempt continues with the very next batch."""
        self._save_state()
        self._writer.wait()
        where = f"in epoch {self._progress.current_epoch} after {self._progress.position} pictures"
        self._journal.note(f"Stopped {where}; the state is saved")
        return self._end("stopped")

    def _complete(self) -> TrainingOutcome:
        """Write what describes the whole training."""
        self._writer.wait()
        self._journal.completed(self._progress.epoch, self._progress.history[-1])
        return self._end("completed")

    def _end(self, status: Literal["completed", "stopped"]) -> TrainingOutcome:
        """Write the last files of an attempt and sum it up."""
        progress = self._progress
        if self._gang.is_first:
            if progress.confusion:
                # Once more: an attempt that was killed between its checkpoint and its figures leaves those of an epoch out.
                self._write_figures(progress.epoch, progress.history, progress.confusion)
                self._outputs.write_bytes("confusion_matrix.png", confusion_png(progress.confusion, self._dataset.classes))
            self._outputs.write_text(LOG, self._journal.text())
        return TrainingOutcome(
            status,
            progress.epoch,
            best_acc=progress.best_acc,
            metrics=progress.history[-1] if progress.history else {},
            history=tuple(progress.history),
            classes=self._dataset.classes,
            confusion=tuple(tuple(row) for row in progress.confusion),
            files=self._outputs.written,
        )

    def _state(self) -> ResumeState:
        """Take a copy of all that decides how the training goes on, once the one before it is written."""
        self._writer.wait()
        device = self._learner.device
        return ResumeState(
            **self._copy.take(self._learner.state()),
            identity=self._identity(),
            progress=self._progress.as_dict(),
            rng_cpu=torch.get_rng_state(),
            rng_cuda=torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
            seed=self._plan.seed,
            threads=self._plan.threads,
            batch_size=self._plan.batch_size,
            dataset=self._dataset.train.fingerprint,
        )

    def _identity(self) -> dict[str, Any]:
        """Tell what must be the same in every attempt."""
        plan = self._plan
        return {
            "model": plan.model,
            "image_size": plan.image_size,
            "num_classes": plan.num_classes,
            "class folders": list(self._dataset.classes),
        }

    def _card(self) -> ModelCard:
        """Describe the weights of the epoch just closed."""
        plan, dataset = self._plan, self._dataset
        return ModelCard(
            architecture=plan.model,
            classes=list(dataset.classes),
            num_classes=plan.num_classes,
            image_size=plan.image_size,
            recipe=None if dataset.recipe is None else dict(dataset.recipe),
            dataset_hash={"train": dataset.train.fingerprint, "valid": dataset.val.fingerprint},
            split={"train": len(dataset.train), "valid": len(dataset.val), **dataset.recordings},
            seed=plan.seed,
            metrics=dict(self._progress.history[-1]),
            task_id=plan.task_id,
            torch_version=str(torch.__version__),
            project_version=plan.project_version,
        )
