"""Submissions: work for the service. Each function is a method of both clients; its docstring is theirs.

A request is given as its model, as a mapping, as single fields, or as one of the first two with fields that replace some of it. What is
left out means the service's own default. A submission without a ``task_id`` gets one here, so repeating it after a lost connection finds
the first task instead of making a second.
"""

from collections.abc import Mapping
from typing import Any

from cluster.client import contract
from cluster.client.operation import Call
from serve_app.schemas.evaluate import EvaluationRequest
from serve_app.schemas.inference import BatchInferenceRequest, BatchResponse, InferenceRequest
from serve_app.schemas.preprocessing import AugmentRequest, CropRequest, PreprocessingResponse, SpectrogramRequest, SplitRequest
from serve_app.schemas.tasks import TaskResponse
from serve_app.schemas.training import TrainingRequest
from serve_app.schemas.waiting import ExplainResponse

Given = Mapping[str, Any] | None


def train(request: TrainingRequest | Given = None, /, **fields: Any) -> Call[TaskResponse]:
    """Submit a training. Raises InvalidRequestError, before anything is sent, where a field is wrong."""
    return contract.START_TRAINING.submit(request, fields)


def infer(request: InferenceRequest | Given = None, /, **fields: Any) -> Call[TaskResponse]:
    """Submit an inference over a file or a folder. Raises InvalidRequestError, before anything is sent, where a field is wrong."""
    return contract.START_INFERENCE.submit(request, fields)


def infer_batch(request: BatchInferenceRequest | Given = None, /, **fields: Any) -> Call[BatchResponse]:
    """Submit one inference for each of ``source_paths``: all of them, or none.

    A batch cannot be given ids. It is repeated only where nothing of it reached the service; else look at ``tasks()`` first.
    """
    return contract.START_BATCH.send(request, fields)


def evaluate(request: EvaluationRequest | Given = None, /, **fields: Any) -> Call[TaskResponse]:
    """Submit an evaluation: a model is measured with files of known classes. ``evaluation()`` tells what was found."""
    return contract.START_EVALUATION.submit(request, fields)


def split(request: SplitRequest | Given = None, /, **fields: Any) -> Call[PreprocessingResponse]:
    """Submit a division of class folders into train and valid, or train, valid and test."""
    return contract.START_SPLIT.submit(request, fields)


def augment(request: AugmentRequest | Given = None, /, **fields: Any) -> Call[PreprocessingResponse]:
    """Submit the enlargement of a data set: each picture again, and once more for each method."""
    return contract.START_AUGMENTATION.submit(request, fields)


def crop(request: CropRequest | Given = None, /, **fields: Any) -> Call[PreprocessingResponse]:
    """Submit the cutting of the same box out of every picture."""
    return contract.START_CROP.submit(request, fields)


def spectrogram(request: SpectrogramRequest | Given = None, /, **fields: Any) -> Call[PreprocessingResponse]:
    """Submit the making of pictures from recordings."""
    return contract.START_SPECTROGRAM.submit(request, fields)


def explain(task_type: str, request: Any = None, /, **fields: Any) -> Call[ExplainResponse]:
    """Ask what would happen to a request; nothing is submitted.

    Args:
        task_type: training, inference, evaluate, dataset_split, data_augmentation, image_crop or spectrogram.
        request: as for the submission itself.
        fields: the same.
    """
    given = request.model_dump(exclude_unset=True, by_alias=True) if hasattr(request, "model_dump") else dict(request or {})
    return contract.EXPLAIN.send({"task_type": task_type, "request": given | fields}, {})
