"""The bodies around waiting: why a task waits, what would happen to one that is not submitted, and its priority."""

from typing import Annotated, Literal

from pydantic import Field

from actors.core.events import WaitReason
from actors.core.tasks import PreprocessingType, TaskState
from serve_app.schemas.evaluate import EvaluationRequest
from serve_app.schemas.fields import Priority, RequestModel, ResponseModel, Timestamp
from serve_app.schemas.inference import InferenceRequest
from serve_app.schemas.preprocessing import AugmentRequest, CropRequest, SpectrogramRequest, SplitRequest
from serve_app.schemas.training import TrainingRequest


class PriorityRequest(RequestModel):
    """Another place in the line for a waiting task."""

    priority: Priority = Field(description="1 is the most urgent, 10 the least")


class ExplainTraining(RequestModel):
    """A training that is not submitted."""

    task_type: Literal["training"]
    request: TrainingRequest


class ExplainInference(RequestModel):
    """An inference that is not submitted."""

    task_type: Literal["inference"]
    request: InferenceRequest


class ExplainEvaluation(RequestModel):
    """An evaluation that is not submitted."""

    task_type: Literal["evaluate"]
    request: EvaluationRequest


class ExplainSplit(RequestModel):
    """A split that is not submitted."""

    task_type: Literal[PreprocessingType.SPLIT]
    request: SplitRequest


class ExplainAugmentation(RequestModel):
    """An augmentation that is not submitted."""

    task_type: Literal[PreprocessingType.AUGMENT]
    request: AugmentRequest


class ExplainCrop(RequestModel):
    """A crop that is not submitted."""

    task_type: Literal[PreprocessingType.CROP]
    request: CropRequest


class ExplainSpectrogram(RequestModel):
    """A making of spectrograms that is not submitted."""

    task_type: Literal[PreprocessingType.SPECTROGRAM]
    request: SpectrogramRequest


ExplainRequest = Annotated[
    ExplainTraining | ExplainInference | ExplainEvaluation | ExplainSplit | ExplainAugmentation | ExplainCrop | ExplainSpectrogram,
    Field(discriminator="task_type"),
]


class HolderBody(ResponseModel):
    """Who holds something that a request waits for."""

    task_id: str
    type: str
    device: str
    gpu_fraction: float = Field(description="the fraction of the device, a CPU's too")
    memory_gb: float
    since: Timestamp
    expected_end_at: Timestamp | None = Field(description="from durations measured before; null where nothing alike was measured")


class WaitBody(ResponseModel):
    """What a request misses and when it may start."""

    position: int | None = Field(description="1 for the next in line; null where the task does not wait")
    line_length: int | None
    missing: WaitReason | None = Field(
        description="limit, share, memory, order, device or quarantine; null where nothing is missing"
    )
    message: str
    remedy: str = Field(description="what would free it")
    devices: list[str] = Field(description="the devices it may use")
    held_by: list[HolderBody]
    estimated_start_at: Timestamp | None = Field(description="null where unknown")
    estimated_wait_s: float | None


class WhyResponse(WaitBody):
    """Why a task waits; the fields are empty for one that does not."""

    task_id: str
    status: TaskState


class ExplainResponse(WaitBody):
    """What would happen to a request if it were submitted now."""

    would_start: bool
