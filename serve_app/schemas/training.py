"""The body of a training submission."""

from difflib import get_close_matches
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from actors.learning.catalog import MIN_IMAGE_SIZE, MODELS, SUPPORTED_MODELS, check_image_size
from serve_app.schemas.fields import (
    Description,
    DeviceName,
    EmptyMeansNone,
    OpenPathText,
    PathText,
    PlainName,
    Priority,
    TaskId,
)
from serve_app.schemas.recipe import RadioAugmentationRequest, RecipeRequest, RecordingFields


def _check_model(name: str) -> str:
    if name in MODELS:
        return name
    close = get_close_matches(name.lower()[:64], SUPPORTED_MODELS, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(close)}? " if close else ""
    raise ValueError(f"unknown model; {guess}Supported are {', '.join(SUPPORTED_MODELS)}")


ModelName = Annotated[str, AfterValidator(_check_model), Field(json_schema_extra={"enum": list(SUPPORTED_MODELS)})]


class TrainingRequest(RecordingFields):
    """What to train, on what, where. Upper bounds only keep out what no machine could do."""

    model: ModelName = Field(description="one of the supported models of /api/v1/info")
    num_classes: int = Field(ge=1, le=100_000, description="width of the head; at least the number of class folders")
    train_path: PathText = Field(description="folder with one folder of pictures, or of IQ recordings, for each class")
    val_path: PathText = Field(description="the same, for validation")
    save_path: PathText = Field(description="folder that the files are written to")
    name: Annotated[PlainName | None, EmptyMeansNone] = Field(None, description="sub-folder of save_path")
    batch_size: int = Field(8, ge=1, le=65_536)
    num_epochs: int = Field(100, ge=1, le=1_000_000)
    learning_rate: float = Field(1e-4, gt=0)
    image_size: int = Field(224, ge=MIN_IMAGE_SIZE, le=8192, description="side of the square that pictures are resized to")
    device: DeviceName = Field("cuda", description="cpu, cuda (the least loaded GPU) or cuda:N")
    weight_path: OpenPathText = Field("", description="weights to start from")
    pretrained: bool = Field(default=True, description="start from ImageNet weights")
    shuffle: bool = True
    task_id: Annotated[TaskId | None, EmptyMeansNone] = Field(None, description="the caller's own id; made here if absent")
    priority: Priority = 5
    description: Description = ""
    preemptible: bool = Field(default=False, description="may be paused for a better-ranked task")
    seed: int | None = Field(None, ge=0, le=2**32 - 1)
    gpu_memory_gb: float | None = Field(None, gt=0, le=4096, description="memory budget on a GPU")
    on_oom: Literal["fail", "reduce_batch"] = Field(
        "fail", description="out of GPU memory: fail, or go on from the last checkpoint with half the batch"
    )
    num_gpus: int = Field(1, ge=1, le=64, description="GPUs of one node that train together, each with batch_size pictures a step")
    max_retries: int = Field(2, ge=0, le=100, description="how often an attempt that died is repeated")
    keep_checkpoints: Literal["all"] | Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        "all", description="how many weights files of single epochs stay"
    )
    early_stopping_patience: int | None = Field(
        None, ge=1, le=1_000_000, description="epochs without a better val_acc before it ends"
    )
    amp: Literal["auto"] | bool = Field("auto", description="mixed precision; auto: on GPUs only")
    class_weights: bool = Field(default=False, description="rarer classes weigh more in the loss")
    resume_from: Annotated[TaskId | None, EmptyMeansNone] = Field(
        None, description="the training to continue from its last checkpoint"
    )
    recipe: RecipeRequest | None = Field(None, description="how pictures are made of IQ; for recordings it must be chosen")
    augmentation: RadioAugmentationRequest | None = Field(None, description="changes of IQ while training; recordings only")

    @field_validator("image_size")
    @classmethod
    def _fits_the_model(cls, value: int, info: ValidationInfo) -> int:
        problem = check_image_size(info.data["model"], value) if "model" in info.data else None
        if problem:
            raise ValueError(problem)
        return value


class LegacyTrainingRequest(TrainingRequest):
    """The same at the routes of V2.1 and V2.2, whose clients send fields that never had an effect; the task's log names them."""

    model_config = ConfigDict(extra="allow")
