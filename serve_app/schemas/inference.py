"""The bodies of inference submissions."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator, model_validator

from actors.core.tasks import TaskState
from serve_app.schemas.fields import (
    MOST_PATH_LENGTH,
    DeviceName,
    EmptyMeansNone,
    ModelReferenceText,
    OpenPathText,
    PathText,
    PlainName,
    Priority,
    ResponseModel,
    TaskId,
    Timestamp,
)
from serve_app.schemas.recipe import RecipeRequest, RecordingFields

#: Of one batch.
MOST_SOURCES = 1_000
#: Leaves room for the sub-folder of a source.
BasePathText = Annotated[PathText, StringConstraints(max_length=MOST_PATH_LENGTH - 8)]


class ModelFields(RecordingFields):
    """Which model works on files, where, and how urgently."""

    model: Annotated[ModelReferenceText | None, EmptyMeansNone] = Field(
        None, description="NAME, NAME@VERSION or NAME@ALIAS of a registered model, instead of cfg_path and weight_path"
    )
    cfg_path: OpenPathText = Field("", validate_default=True, description="classification YAML of the model")
    weight_path: OpenPathText = Field("", validate_default=True, description=".pth or .safetensors file of the weights")
    device: DeviceName = Field("cuda", description="cpu, cuda (the least loaded GPU) or cuda:N")
    priority: Priority = 3
    recipe: RecipeRequest | None = Field(
        None, description="how pictures are made of IQ, for weights whose model card and configuration do not tell"
    )

    @field_validator("cfg_path", "weight_path")
    @classmethod
    def _stands_instead_of_model(cls, value: str, info: ValidationInfo) -> str:
        if "model" not in info.data:  # it is wrong by itself, which is told
            return value
        if not value and info.data["model"] is None:
            raise ValueError("this is required, unless model names a registered model")
        if value and info.data["model"] is not None:
            raise ValueError("leave this out where model names a registered model")
        return value


class SingleFields(ModelFields):
    """The same of one task, and where its results go."""

    save_path: Annotated[PathText | None, EmptyMeansNone] = Field(
        None, description="folder of the results; by default results/<task_id> in the first data root"
    )
    name: Annotated[PlainName | None, EmptyMeansNone] = Field(None, description="sub-folder of save_path")
    task_id: Annotated[TaskId | None, EmptyMeansNone] = Field(None, description="the caller's own id; made here if absent")


class InferenceRequest(SingleFields):
    """Which model predicts which file or folder."""

    source_path: PathText = Field(description="a picture, an IQ recording, or a folder of them")


class LegacyInferenceRequest(InferenceRequest):
    """The same at the routes of V2.1 and V2.2, whose clients send fields that never had an effect; the task's log names them."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="before")
    @classmethod
    def _means_files(cls, values: Any) -> Any:
        """Beside files, a field named model is one of those that never had an effect."""
        if isinstance(values, dict) and values.get("cfg_path") and "model" in values:
            return {name: value for name, value in values.items() if name != "model"}
        return values


class BatchInferenceRequest(ModelFields):
    """One inference for each source, all with the same model."""

    source_paths: list[PathText] = Field(min_length=1, max_length=MOST_SOURCES)
    save_base_path: Annotated[BasePathText | None, EmptyMeansNone] = Field(
        None,
        description="results of the sources go to its sub-folders 0, 1, ...; by default results/<batch_id>",
    )


class BatchResponse(ResponseModel):
    """The tasks of a batch, in the order of its sources."""

    status: str
    message: str
    task_ids: list[str]
    total: int
    batch_id: str


class BatchStatusResponse(ResponseModel):
    """A batch as a whole."""

    batch_id: str
    status: TaskState = Field(description="completed, failed or cancelled once all tasks have ended; failed where one of them has")
    message: str
    progress: int = Field(ge=0, le=100, description="percent of the work that is over, ended tasks counted whole")
    total: int
    counts: dict[TaskState, int] = Field(description="tasks by status, every status named")
    task_ids: list[str] = Field(description="in the order of the sources; deleted tasks are left out")
    created_at: Timestamp
    updated_at: Timestamp


class BatchActionResponse(ResponseModel):
    """What became of a wish about a batch."""

    status: str
    message: str
    batch_id: str
    task_ids: list[str] = Field(description="the tasks that the wish reached")
