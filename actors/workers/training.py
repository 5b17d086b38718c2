"""The work of a training attempt: from the order to a plan, from records to log lines, from the outcome to a result."""

from dataclasses import asdict, replace
from pathlib import Path

from actors.attempt_order import AttemptResult
from actors.core.tasks import Progress
from actors.learning.checkpoint_list import find_checkpoint, read_checkpoint_list
from actors.learning.errors import CheckpointError
from actors.learning.memory_need import Peak, Workload, training_workload
from actors.learning.plan import (
    CHECKPOINT_LIST,
    RESUME_STATE,
    RecordingChoices,
    Stage,
    TrainingOutcome,
    TrainingPlan,
    TrainingRecord,
)
from actors.learning.training import train
from actors.paths import build_data_roots
from actors.workers.tools import Tools

#: Where the ranks of a gang meet: its lease's token gives them one staging folder, which no other attempt has.
_RENDEZVOUS = ".rendezvous"


def run_training(tools: Tools) -> AttemptResult:
    """Train as ordered, on the lease's device, from the last checkpoint where an earlier attempt left one.

    Of a gang, every rank's process calls this. Only the first one's says anything; the others' results are for themselves.

    Raises:
        WorkError: what the user can put right.
        StaleTokenError: a newer attempt has the output folder.
    """
    plan = build_plan(tools, tools.settle_on_device())
    if plan.rank == 0 and not tools.order.resume:
        _disown_checkpoints(tools)
    ended_epochs = 0

    def report(record: TrainingRecord) -> None:
        nonlocal ended_epochs
        ended_epochs += record.stage is Stage.EPOCH_END
        _report(tools, record)

    if plan.resume_from and plan.rank == 0:
        tools.reporter.line("INFO", f"going on from {plan.resume_from.name} of an earlier run")
    outcome = train(
        plan,
        report=report,
        should_stop=tools.should_stop,
        publish_all=tools.folder.publish_all,
        checkpoint_every_s=tools.settings.checkpoint_every_s,
    )
    result = _conclude(tools, outcome)
    # Less than an epoch may not have come to its most hungry moment.
    return replace(result, peak=measured_peak(tools, plan)) if ended_epochs else result


def measured_peak(tools: Tools, plan: TrainingPlan) -> Peak | None:
    """What this process's use of its GPU teaches about trainings like this one; None without a GPU."""
    needed = tools.memory.peak().needed_bytes
    return Peak(Workload(plan.model, plan.batch_size, plan.image_size, plan.amp), needed) if needed else None


def build_plan(tools: Tools, device: str) -> TrainingPlan:
    """Turn the checked request into a plan for a torch device in which nothing is left to look up."""
    request, resolved = tools.order.request, tools.order.resolved
    keep = request.get("keep_checkpoints", "all")
    return TrainingPlan(
        model=request["model"],
        num_classes=request["num_classes"],
        train_path=Path(resolved["train_path"]),
        val_path=Path(resolved["val_path"]),
        output_dir=tools.folder.folder,
        staging_dir=tools.folder.staging,
        batch_size=request["batch_size"],
        num_epochs=request["num_epochs"],
        learning_rate=request["learning_rate"],
        image_size=request["image_size"],
        weight_path=resolved["weight_path"] or None,
        pretrained=request["pretrained"],
        shuffle=request["shuffle"],
        seed=request.get("seed") or 0,
        device=device,
        threads=tools.threads,
        keep_checkpoints=None if keep == "all" else keep,
        early_stopping_patience=request.get("early_stopping_patience"),
        amp=training_workload(request).mixed_precision,
        gpu_budget_bytes=tools.memory.budget_bytes,
        gpu_context_bytes=tools.memory.context_bytes,
        class_weights=bool(request.get("class_weights", False)),
        picture_cache_bytes=tools.settings.picture_cache_mb << 20,
        task_id=tools.order.task_id,
        project_version=tools.settings.version,
        recordings=RecordingChoices.of(request),
        resume_from=_find_checkpoint(tools),
        rank=tools.order.rank,
        world_size=tools.order.world_size,
        rendezvous=tools.folder.staging / _RENDEZVOUS,
        roots=build_data_roots(tools.settings),
    )


def _find_checkpoint(tools: Tools) -> Path | None:
    """Where to go on from: what an earlier attempt of this task left, else the training that the user named, else nothing."""
    own = find_checkpoint(tools.folder.folder, tools.order.task_id) if tools.order.resume else None
    if own is not None:
        return own
    named = tools.order.resolved.get("resume_from")
    return Path(named) if named else None


def _disown_checkpoints(tools: Tools) -> None:
    """Make the checkpoints that a deleted task of the same id left here nobody's, lest the next attempt take them for its own.

    They stay what they are: a training that is told to continue from them still finds them listed.
    """
    try:
        listed = read_checkpoint_list(tools.folder.folder)
    except CheckpointError:  # it names nobody
        return
    if listed is not None and listed.task_id == tools.order.task_id:
        staged = tools.folder.staging / CHECKPOINT_LIST
        replace(listed, task_id="").write(staged)
        tools.folder.publish(staged, CHECKPOINT_LIST)


def _report(tools: Tools, record: TrainingRecord) -> None:
    tools.reporter.line(
        record.level,
        record.message,
        stage=record.stage,
        step=record.step,
        metrics=record.metrics,
        status="running",
        progress=record.progress,
    )
    # A remark between two epochs carries no epoch of its own.
    epoch = record.epoch or tools.reporter.progress.epoch or 0
    tools.reporter.advance(record.progress, record.message, epoch=epoch, total_epochs=record.total_epochs, metrics=record.metrics)


def _conclude(tools: Tools, outcome: TrainingOutcome) -> AttemptResult:
    if outcome.status == "stopped":
        message = f"stopped after {outcome.epochs_done} epochs; {RESUME_STATE} holds the state"
        return AttemptResult("stopped", message, progress=tools.reporter.progress)
    message = f"trained {outcome.epochs_done} epochs, best validation accuracy {outcome.best_acc:.2f} %"
    fields = asdict(tools.reporter.progress) | {"percent": 100, "message": message, "metrics": dict(outcome.metrics)}
    return AttemptResult("completed", message, progress=Progress(**fields))
