"""The scheduler's explanations in the words of the HTTP contract. Pure functions."""

from typing import Any

from actors.core.explanation import Explanation, Holder
from actors.core.tasks import Task
from actors.core.units import fraction_from_units
from serve_app.schemas.waiting import ExplainResponse, HolderBody, WhyResponse
from serve_app.shape import gigabytes, timestamp


def why_response(task: Task, explanation: Explanation | None, *, now: float) -> WhyResponse:
    """Why a task waits; without an explanation it does not."""
    return WhyResponse(
        task_id=task.task_id, status=task.state, **_wait(explanation, now, f"the task is {task.state}, it does not wait")
    )


def explain_response(explanation: Explanation, *, now: float) -> ExplainResponse:
    """What would happen to a request."""
    return ExplainResponse(would_start=explanation.would_start, **_wait(explanation, now, ""))


def _wait(explanation: Explanation | None, now: float, otherwise: str) -> dict[str, Any]:
    if explanation is None:
        nothing = dict.fromkeys(("position", "line_length", "missing", "estimated_start_at", "estimated_wait_s"))
        return {**nothing, "message": otherwise, "remedy": "", "devices": [], "held_by": []}
    start_at = explanation.estimated_start_at
    return {
        "position": explanation.position,
        "line_length": explanation.waiting,
        "missing": explanation.missing,
        "message": explanation.detail,
        "remedy": explanation.remedy,
        "devices": list(explanation.device_ids),
        "held_by": [_holder(holder) for holder in explanation.held_by],
        "estimated_start_at": None if start_at is None else timestamp(start_at),
        "estimated_wait_s": None if start_at is None else round(max(0.0, start_at - now), 1),
    }


def _holder(holder: Holder) -> HolderBody:
    return HolderBody(
        task_id=holder.task_id,
        type=holder.work.value,
        device=holder.device_id,
        gpu_fraction=fraction_from_units(holder.units),
        memory_gb=gigabytes(holder.memory_bytes),
        since=timestamp(holder.granted_at),
        expected_end_at=None if holder.expected_end_at is None else timestamp(holder.expected_end_at),
    )
