"""From a checked request body to the submission that the supervisor takes. Pure, but for the ids made at the door.

What depends on this machine (whether a path exists, lies in a data root, holds enough classes) is the supervisor's to check.
"""

from collections.abc import Mapping
from posixpath import normpath
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from actors.core.model import GIB, DeviceKind, WorkKind
from actors.core.tasks import EVALUATE, PreprocessingType, Submission
from configs.settings import Settings
from serve_app.schemas.evaluate import EvaluationRequest
from serve_app.schemas.inference import BatchInferenceRequest, InferenceRequest
from serve_app.schemas.preprocessing import AugmentRequest, CropRequest, PreprocessingRequest, SpectrogramRequest, SplitRequest
from serve_app.schemas.training import TrainingRequest
from serve_app.shape import clean_text

TRAINING_TYPE = "training"
INFERENCE_TYPE = "inference"
#: No setting of the origin's names one; it waits for leases of its own kind only.
PREPROCESSING_PRIORITY = 5
_PREPROCESSING_TYPES: Mapping[type[BaseModel], PreprocessingType] = {
    SplitRequest: PreprocessingType.SPLIT,
    AugmentRequest: PreprocessingType.AUGMENT,
    CropRequest: PreprocessingType.CROP,
    SpectrogramRequest: PreprocessingType.SPECTROGRAM,
}
#: Ignored fields are told by name, but nobody needs to read a body of them in a log.
MOST_IGNORED_NAMES = 20
MOST_NAME_CHARACTERS = 60


def training_submission(request: TrainingRequest, settings: Settings) -> Submission:
    """Turn a training request into a submission."""
    return Submission(
        task_id=request.task_id or str(uuid4()),
        work=WorkKind.TRAINING,
        task_type=TRAINING_TYPE,
        request=_plain(request),
        device=choose_selector(request.device, settings),
        priority=_priority(request, request.priority, settings.default_train_priority),
        memory_bytes=None if request.gpu_memory_gb is None else round(request.gpu_memory_gb * GIB),
        device_count=request.num_gpus,
        preemptible=request.preemptible,
        max_retries=request.max_retries,
        output_path=join_name(request.save_path, request.name),
        ignored_fields=_ignored_fields(request),
    )


def inference_submission(request: InferenceRequest, settings: Settings, *, batch_id: str = "", batch_index: int = 0) -> Submission:
    """Turn an inference request into a submission."""
    task_id = request.task_id or str(uuid4())
    return Submission(
        task_id=task_id,
        work=WorkKind.INFERENCE,
        task_type=INFERENCE_TYPE,
        request=_plain(request),
        device=choose_selector(request.device, settings),
        priority=_priority(request, request.priority, settings.default_inference_priority),
        output_path=join_name(request.save_path or f"results/{task_id}", request.name),
        batch_id=batch_id,
        batch_index=batch_index,
        ignored_fields=_ignored_fields(request),
    )


def evaluation_submission(request: EvaluationRequest, settings: Settings) -> Submission:
    """Turn an evaluation request into a submission. Ratios that nobody chose stay open: they depend on what the files are."""
    task_id = request.task_id or str(uuid4())
    plain = _plain(request)
    if "snr_db" not in request.model_fields_set:
        del plain["snr_db"]
    return Submission(
        task_id=task_id,
        work=WorkKind.INFERENCE,
        task_type=EVALUATE,
        request=plain,
        device=choose_selector(request.device, settings),
        priority=_priority(request, request.priority, settings.default_inference_priority),
        output_path=join_name(request.save_path or f"results/{task_id}", request.name),
    )


def batch_submissions(request: BatchInferenceRequest, settings: Settings) -> tuple[str, list[Submission]]:
    """Turn a batch into its id and one submission for each source, in their order."""
    batch_id = str(uuid4())
    base = (request.save_base_path or f"results/{batch_id}").rstrip("/")
    shared = request.model_dump(exclude={"source_paths", "save_base_path"}, exclude_unset=True)
    singles = (
        InferenceRequest(source_path=source, save_path=f"{base}/{index}", **shared)
        for index, source in enumerate(request.source_paths)
    )
    return batch_id, [
        inference_submission(single, settings, batch_id=batch_id, batch_index=index) for index, single in enumerate(singles)
    ]


def preprocessing_submission(request: PreprocessingRequest) -> Submission:
    """Turn a request to prepare pictures into a submission; it runs on a CPU."""
    return Submission(
        task_id=request.task_id or str(uuid4()),
        work=WorkKind.PREPROCESSING,
        task_type=_PREPROCESSING_TYPES[type(request)].value,
        request=_plain(request),
        device=DeviceKind.CPU.value,
        priority=PREPROCESSING_PRIORITY,
        output_path=_preprocessing_output(request),
    )


def _preprocessing_output(request: PreprocessingRequest) -> str:
    """The folder to write to, as the user wrote it; an enlarged data set is by default the small one's sibling."""
    if isinstance(request, AugmentRequest):
        return request.output_path or f"{normpath(request.dataset_path)}_aug"
    return request.output_path


def choose_selector(device: str, settings: Settings) -> str:
    """The device to ask for: where users may not choose among the GPUs, any will do."""
    is_gpu = device.partition(":")[0] == DeviceKind.GPU
    return DeviceKind.GPU.value if is_gpu and not settings.enable_gpu_selection else device


def join_name(save_path: str, name: str | None) -> str:
    """The folder that a task's files go to, as the user wrote it."""
    return f"{save_path.rstrip('/')}/{name}" if name else save_path


def _priority(request: BaseModel, given: int, default: int) -> int:
    return given if "priority" in request.model_fields_set else default


def _plain(request: BaseModel) -> dict[str, Any]:
    """The known fields of the body as JSON values with their defaults; the task's id stands beside them."""
    plain = request.model_dump(mode="json", exclude={"task_id", *(request.model_extra or ())})
    if plain.get("model", "") is None:  # of an inference with files of its own
        del plain["model"]
    return plain


def _ignored_fields(request: BaseModel) -> tuple[str, ...]:
    """What an old route's client sent and nobody reads, fit for a line of the log."""
    names = [clean_text(name[:MOST_NAME_CHARACTERS]) for name in request.model_extra or ()]
    more = len(names) - MOST_IGNORED_NAMES
    return tuple(names[:MOST_IGNORED_NAMES]) + ((f"and {more} more",) if more > 0 else ())
