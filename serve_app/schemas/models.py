"""The model registry: registrations, aliases, versions and their comparison."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from actors.registry.records import MODEL_NAME_PATTERN, Precision, is_alias_name
from serve_app.schemas.fields import Description, OpenPathText, RequestModel, ResponseModel, TaskId, Timestamp

#: More would be no number that a version ever gets.
MOST_VERSION = 2**31 - 1

Figure = int | float | None


def _check_alias(text: str) -> str:
    if not is_alias_name(text):
        raise ValueError("an alias has letters, digits, dots, hyphens or underscores, and is no number, which would name a version")
    return text


ModelNameText = Annotated[str, StringConstraints(pattern=MODEL_NAME_PATTERN)]
AliasName = Annotated[ModelNameText, AfterValidator(_check_alias)]


class RegisterRequest(RequestModel):
    """A new version: of a finished training, or of a weights file with its configuration."""

    name: Annotated[ModelNameText, Field(description="of the model; a new one begins with version 1")]
    task_id: Annotated[TaskId | None, Field(description="the training that made the weights")] = None
    cfg_path: Annotated[OpenPathText, Field(description="classification YAML of the weights, without task_id")] = ""
    weight_path: Annotated[OpenPathText, Field(description=".pth or .safetensors file of the weights, without task_id")] = ""
    alias: Annotated[AliasName | None, Field(description="means this version once it has passed its check")] = None
    description: Description = ""
    unknown_below: Annotated[
        float | None, Field(ge=0, le=1, description="answers less confident are called unknown; by default as the model card says")
    ] = None
    precision: Annotated[
        Precision, Field(description="auto: bfloat16 where the device has it and the golden inputs agree; else it is forced")
    ] = Precision.AUTO
    optimise: Annotated[bool, Field(description="false: serve the network as it was trained, without folding and freezing")] = True

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        has_files, has_path = bool(self.cfg_path and self.weight_path), bool(self.cfg_path or self.weight_path)
        if (self.task_id is not None) == has_path or has_path != has_files:
            raise ValueError("give task_id, or both cfg_path and weight_path")
        return self


class AliasRequest(RequestModel):
    """What an alias is to mean."""

    version: Annotated[int, Field(ge=1, le=MOST_VERSION, description="of this model; an earlier one rolls back")]


class LoadBody(ResponseModel):
    """What was chosen when the version was loaded last on a kind of device, and why."""

    precision: Precision
    optimised: bool
    reason: str
    largest_difference: Annotated[
        float | None, Field(description="of the probabilities of the golden inputs, from the expected ones")
    ]
    load_s: float | None
    memory_bytes: int
    at: Timestamp


class ServingBody(ResponseModel):
    """How the version is served."""

    precision: Annotated[Precision, Field(description="as wished")]
    optimise: Annotated[bool, Field(description="as wished")]
    forced: Annotated[bool, Field(description="whether one of both was chosen by hand")]
    chosen: Annotated[dict[str, LoadBody], Field(description="by kind of device: cpu, cuda; empty before the first load")]


class ModelCardBody(ResponseModel):
    """The model card as it was registered, and how the version is served."""

    architecture: str
    classes: list[str]
    num_classes: int
    image_size: int
    normalization: str
    recipe: dict[str, Any] | None
    dataset_hash: dict[str, str]
    split: dict[str, int]
    seed: int | None
    metrics: dict[str, Figure]
    metrics_by_snr: dict[str, dict[str, Figure]] | None
    weights_file: str
    weights_sha256: str
    task_id: str
    torch_version: str
    project_version: str
    format_version: int
    unknown_below: Annotated[float | None, Field(description="from 0 to 1; answers less confident are called unknown")]
    serving: ServingBody


class LineageBody(ResponseModel):
    """Where a version comes from."""

    task_id: Annotated[str, Field(description="empty for a version of files")]
    dataset_hash: dict[str, str]
    parent_weights: Annotated[str, Field(description="what the training started from; empty for chance")]
    parameters: Annotated[dict[str, Any], Field(description="the training's request")]


class ModelVersionResponse(ResponseModel):
    """One version."""

    name: str
    version: int
    aliases: Annotated[list[str], Field(description="those that mean it")]
    description: str
    created_at: Timestamp
    size_bytes: Annotated[int, Field(description="of the weights")]
    sha256: Annotated[str, Field(description="of the weights")]
    metrics: dict[str, Figure]
    lineage: LineageBody
    model_card: ModelCardBody
    warnings: Annotated[list[str], Field(description="what was assumed when it was registered, and what is still open")]


class ModelResponse(ResponseModel):
    """One model."""

    name: str
    default_version: Annotated[
        int | None, Field(description="what the bare name means: production, else the newest that was loaded once, else the newest")
    ]
    aliases: Annotated[dict[str, int], Field(description="the version that each means")]
    versions: Annotated[list[ModelVersionResponse], Field(description="oldest first")]


class ModelListResponse(ResponseModel):
    """All models, by name."""

    models: list[ModelResponse]


class DeletedModelResponse(ResponseModel):
    """What was deleted."""

    status: str
    message: str
    name: str
    versions: list[int]


class ComparedBody(ResponseModel):
    """One column of a comparison."""

    kind: Literal["model", "training"]
    id: Annotated[str, Field(description="NAME@VERSION, or the task")]
    status: Annotated[str, Field(description="of a training")] = ""
    created_at: Timestamp
    description: str


class ComparisonResponse(ResponseModel):
    """Versions and trainings side by side: each list in the tables has one entry for each column, null where it has none."""

    columns: list[ComparedBody]
    parameters: dict[str, list[Any]]
    differing: Annotated[list[str], Field(description="the parameters that are not the same in all columns")]
    metrics: dict[str, list[Figure]]
    epochs: Annotated[list[int], Field(description="the rows of the curves")]
    curves: Annotated[dict[str, list[list[Figure]]], Field(description="by metric: for each column a list as long as epochs")]
