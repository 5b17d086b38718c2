"""The work of a preprocessing attempt: from the order to a plan, from records to log lines, from the outcome to a result.

Each kind of job is imported when it is wanted: none needs what the others do, and none should wait for it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from actors.attempt_order import AttemptResult
from actors.core.tasks import PreprocessingType
from actors.paths import build_data_roots
from actors.preprocessing.plan import (
    AugmentPlan,
    CropPlan,
    Outcome,
    Record,
    RecordingHints,
    SpectrogramPlan,
    SplitPlan,
    Surroundings,
)
from actors.workers.tools import Tools

#: A job whose plan is made; what it still wants is whom to tell, when to stop, and how to put files in place.
Job = Callable[..., Outcome]


def run_preprocessing(tools: Tools) -> AttemptResult:
    """Do the task as ordered; what an earlier attempt has put in place stays as it is.

    Raises:
        WorkError: what the user can put right.
        StaleTokenError: a newer attempt has the output folder.
    """
    tools.settle_on_device()
    job = _JOBS[PreprocessingType(tools.order.task_type)](tools)
    outcome = job(
        report=lambda record: _report(tools, record),
        should_stop=tools.should_stop,
        staging=tools.folder.staging,
        publish_all=tools.folder.publish_all,
    )
    return _conclude(tools, outcome)


def split_plan(tools: Tools) -> SplitPlan:
    """What a split attempt is to do."""
    request, resolved = tools.order.request, tools.order.resolved
    return SplitPlan(
        input_path=Path(resolved["input_path"]),
        output_path=tools.folder.folder,
        train_ratio=request["train_ratio"],
        val_ratio=request["val_ratio"],
        seed=request["seed"],
        group_by=request["group_by"],
        files=request.get("files", "copy"),
        threads=tools.threads,
        roots=build_data_roots(tools.settings),
    )


def augment_plan(tools: Tools) -> AugmentPlan:
    """What an augmentation attempt is to do."""
    request, resolved = tools.order.request, tools.order.resolved
    return AugmentPlan(
        dataset_path=Path(resolved["dataset_path"]),
        output_path=tools.folder.folder,
        methods=tuple(request["methods"]),
        seed=request["seed"],
        threads=tools.threads,
        roots=build_data_roots(tools.settings),
    )


def crop_plan(tools: Tools) -> CropPlan:
    """What a crop attempt is to do."""
    request, resolved = tools.order.request, tools.order.resolved
    return CropPlan(
        input_path=Path(resolved["input_path"]),
        output_path=tools.folder.folder,
        x=request["x"],
        y=request["y"],
        width=request["width"],
        height=request["height"],
        threads=tools.threads,
        roots=build_data_roots(tools.settings),
    )


def spectrogram_plan(tools: Tools) -> SpectrogramPlan:
    """What a spectrogram attempt is to do."""
    request, resolved = tools.order.request, tools.order.resolved
    return SpectrogramPlan(
        input_path=Path(resolved["input_path"]),
        output_path=tools.folder.folder,
        recipe=request["recipe"],
        image_size=request["image_size"],
        train_ratio=request["train_ratio"],
        val_ratio=request["val_ratio"],
        seed=request["seed"],
        threads=tools.threads,
        hints=RecordingHints(request["sample_rate"], request["center_frequency"], request["format"]),
        roots=build_data_roots(tools.settings),
    )


def _split_job(tools: Tools) -> Job:
    from actors.preprocessing.split import run_split  # noqa: PLC0415

    return partial(run_split, split_plan(tools))


def _augment_job(tools: Tools) -> Job:
    from actors.preprocessing.augment import run_augment  # noqa: PLC0415

    return partial(run_augment, augment_plan(tools))


def _crop_job(tools: Tools) -> Job:
    from actors.preprocessing.crop import run_crop  # noqa: PLC0415

    return partial(run_crop, crop_plan(tools))


def _spectrogram_job(tools: Tools) -> Job:
    from actors.preprocessing.spectrogram import run_spectrogram  # noqa: PLC0415
    from actors.workers.drawing import drawing_for  # noqa: PLC0415

    plan = spectrogram_plan(tools)
    return lambda **outside: run_spectrogram(plan, Surroundings(**outside), drawing_for=drawing_for)


_JOBS: Mapping[PreprocessingType, Callable[[Tools], Job]] = {
    PreprocessingType.SPLIT: _split_job,
    PreprocessingType.AUGMENT: _augment_job,
    PreprocessingType.CROP: _crop_job,
    PreprocessingType.SPECTROGRAM: _spectrogram_job,
}


def _report(tools: Tools, record: Record) -> None:
    tools.reporter.line(record.level, record.message, step=record.step, status="running", progress=record.progress)
    tools.reporter.advance(record.progress, record.message)


def _conclude(tools: Tools, outcome: Outcome) -> AttemptResult:
    """What became of it; its last line in the log says it in one sentence."""
    progress = replace(tools.reporter.progress, stats=dict(outcome.stats))
    if outcome.status == "stopped":
        return AttemptResult("stopped", f"stopped after {outcome.done} of {outcome.total} pictures", progress=progress)
    return AttemptResult("completed", progress.message, progress=replace(progress, percent=100))
