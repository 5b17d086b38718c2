"""The work of an inference attempt: a configured classifier over pictures and recordings."""

from dataclasses import replace
from pathlib import Path

from actors.attempt_order import AttemptResult
from actors.learning.batch_inference import run_inference
from actors.learning.inference_plan import InferencePlan, InferenceRecord
from actors.workers.tools import Tools


def run_inference_job(tools: Tools) -> AttemptResult:
    """Predict every picture and recording of the source as ordered.

    Raises:
        WorkError: what the user can put right.
        StaleTokenError: a newer attempt has the output folder.
    """
    plan = build_plan(tools, tools.settle_on_device())
    outcome = run_inference(
        plan,
        report=lambda record: _report(tools, record),
        should_stop=tools.should_stop,
        publish=tools.folder.publish,
    )
    if outcome.status == "stopped":
        return AttemptResult(
            "stopped", f"stopped after {outcome.done} of {outcome.total} {outcome.unit}", progress=tools.reporter.progress
        )
    message = f"{outcome.total - outcome.failed} of {outcome.total} {outcome.unit} predicted"
    progress = replace(tools.reporter.progress, percent=100, message=message)
    return AttemptResult("completed", message, progress=progress)


def build_plan(tools: Tools, device: str) -> InferencePlan:
    """Turn the checked request into a plan for a torch device in which nothing is left to look up."""
    resolved, request = tools.order.resolved, tools.order.request
    return InferencePlan(
        cfg_path=Path(resolved["cfg_path"]),
        weight_path=Path(resolved["weight_path"]),
        source_path=Path(resolved["source_path"]),
        output_dir=tools.folder.folder,
        staging_dir=tools.folder.staging,
        device=device,
        threads=tools.threads,
        roots=tools.roots,
        recipe=request.get("recipe"),
        sample_rate=request.get("sample_rate"),
        center_frequency=request.get("center_frequency"),
        datatype=request.get("format"),
    )


def _report(tools: Tools, record: InferenceRecord) -> None:
    tools.reporter.line(
        record.level, record.message, stage=record.stage, step=record.step, status="running", progress=record.progress
    )
    tools.reporter.advance(record.progress, record.message)
