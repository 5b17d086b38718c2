"""Whether a training can be expected to fit into the GPU memory that it may use, asked before it waits in line.

What was measured is a reason to refuse; what only the formula says is a reason to warn. Pure.
"""

from actors.core.errors import SubmissionError
from actors.core.model import DeviceKind, WorkKind
from actors.core.tasks import REDUCE_BATCH, Submission
from actors.learning.memory_need import NeedEstimator, in_gib, training_workload


def check_need(submission: Submission, needs: NeedEstimator, *, device_bytes: int | None = None) -> str:
    """Compare what a training needs with its budget and with the largest device; returns a warning, "" where there is none.

    Args:
        submission: checked in every other respect.
        needs: what is known of needs.
        device_bytes: the memory of the largest GPU that it may run on, where known.

    Raises:
        SubmissionError: trainings like this one were measured to need more.
    """
    bounds = [size for size in (submission.memory_bytes, device_bytes) if size is not None]
    if submission.work is not WorkKind.TRAINING or not submission.device.startswith(DeviceKind.GPU) or not bounds:
        return ""
    bound, workload = min(bounds), training_workload(submission.request)
    need = needs.estimate(workload)
    if need.need_bytes <= bound:
        return ""
    what = "gpu_memory_gb" if bound == submission.memory_bytes else "the largest GPU"
    fitting = needs.largest_batch(workload, bound)
    told = f"{workload.model} with batch_size {workload.batch_size} and image_size {workload.image_size}"
    comparison = f"about {in_gib(need.need_bytes)} of GPU memory, {what} is {in_gib(bound)}"
    remedy = f"batch_size {fitting} would fit" if fitting else "not even batch_size 1 would fit; lower image_size"
    # With reduce_batch it finds a batch that fits by itself, as long as there is one.
    if not need.is_measured or (submission.request.get("on_oom") == REDUCE_BATCH and fitting):
        return f"{told} is expected to need {comparison}; {remedy}"
    field = "gpu_memory_gb" if bound == submission.memory_bytes else "batch_size"
    raise SubmissionError("memory_need_exceeds_budget", field, f"{told} was measured to need {comparison}", remedy)
