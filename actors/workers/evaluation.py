"""The work of an evaluation attempt: a network measured on class folders, and the figures stored with its model."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from actors.attempt_order import AttemptResult
from actors.fence import hold_folder
from actors.files.data_roots import DataRoots, OutsideRootsError
from actors.files.errors import WorkError
from actors.learning.evaluation import run_evaluation
from actors.learning.evaluation_files import Evaluation
from actors.learning.evaluation_plan import EvaluationOutcome, EvaluationPlan, EvaluationRecord, asked_ratios
from actors.learning.model_card import CARD_FILE, sha256_of, store_metrics_by_snr
from actors.learning.plan import Stage
from actors.workers.tools import Tools

_NOT_STORED: Final = "the figures are not stored with the model"


def run_evaluation_job(tools: Tools) -> AttemptResult:
    """Measure the network as ordered, and put the figures into the model card beside its weights where that is of these weights.

    Raises:
        WorkError: what the user can put right.
        StaleTokenError: a newer attempt has the output folder.
    """
    plan = build_plan(tools, tools.settle_on_device())
    card = plan.weight_path.with_name(CARD_FILE)
    # Before the weights are read: if somebody replaces them meanwhile, the card of the new ones does not fit.
    weights_sha256 = sha256_of(plan.weight_path) if card.is_file() else ""
    outcome = run_evaluation(
        plan,
        report=lambda record: _report(tools, record),
        should_stop=tools.should_stop,
        publish=tools.folder.publish,
    )
    if outcome.evaluation is None:
        message = f"stopped after {outcome.done} of {outcome.total} ratios"
        return AttemptResult("stopped", message, progress=tools.reporter.progress)
    level, told = store_with_model(card, outcome.evaluation, weights_sha256, plan.roots)
    tools.reporter.line(level, told)
    return _conclude(tools, outcome, outcome.evaluation)


def build_plan(tools: Tools, device: str) -> EvaluationPlan:
    """Turn the checked request into a plan for a torch device in which nothing is left to look up."""
    resolved, request = tools.order.resolved, tools.order.request
    return EvaluationPlan(
        cfg_path=Path(resolved["cfg_path"]),
        weight_path=Path(resolved["weight_path"]),
        data_path=Path(resolved["data_path"]),
        staging_dir=tools.folder.staging,
        device=device,
        threads=tools.threads,
        snr_db=asked_ratios(request),
        seed=request["seed"],
        band_hz=request["band_hz"],
        recipe=request["recipe"],
        sample_rate=request["sample_rate"],
        center_frequency=request["center_frequency"],
        datatype=request["format"],
        roots=tools.roots,
    )


def store_with_model(card: Path, evaluation: Evaluation, weights_sha256: str, roots: DataRoots) -> tuple[str, str]:
    """Put the figures into a model card, if it is of the weights that were measured.

    Args:
        card: where the card of the weights lies, if there is one.
        evaluation: what was found.
        weights_sha256: of the weights that were measured; "" without a card.
        roots: the card must lie there, links followed.

    Returns:
        The level and the text of the line that the log says of it.
    """
    if not weights_sha256:
        return "INFO", f"{_NOT_STORED}: there is no {CARD_FILE} beside the weights"
    try:
        located = roots.locate(card)
        with hold_folder(located.parent):
            is_stored = store_metrics_by_snr(located, evaluation.metrics_by_snr(), weights_sha256=weights_sha256, roots=roots)
    except OutsideRootsError as error:
        return "WARNING", f"{_NOT_STORED}: {error.message}"
    except (WorkError, OSError) as error:
        reason = error.message if isinstance(error, WorkError) else error.strerror
        return "WARNING", f"{_NOT_STORED}: {reason}"
    if not is_stored:
        return "WARNING", f"{_NOT_STORED}: {CARD_FILE} beside the weights is of other weights"
    return "INFO", f"the figures are stored with the model, in {CARD_FILE}"


def _report(tools: Tools, record: EvaluationRecord) -> None:
    marks = {"stage": record.stage, "step": record.step, "progress": record.progress, "metrics": record.metrics}
    tools.reporter.line(record.level, record.message, status="running", **marks)
    tools.reporter.advance(record.progress, record.message)


def _conclude(tools: Tools, outcome: EvaluationOutcome, evaluation: Evaluation) -> AttemptResult:
    """Say the last line, and leave the figures of the files as they are with the task."""
    clean = evaluation.scores[0]
    failed = f", {evaluation.failed} of {len(evaluation.files)} files could not be used" if evaluation.failed else ""
    message = f"accuracy {clean.accuracy:.2f} % as recorded, {outcome.done - 1} further ratios{failed}"
    tools.reporter.line("INFO", message, stage=Stage.COMPLETED, step=outcome.frames, status="running", progress=100)
    progress = replace(tools.reporter.progress, percent=100, message=message, metrics=clean.metrics)
    return AttemptResult("completed", message, progress=progress)
