"""The bodies of preprocessing: what to split, augment, crop or draw, and what became of it."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, ValidationInfo, field_validator

from actors.core.tasks import PreprocessingType, TaskState
from actors.files.errors import WorkError
from actors.preprocessing.plan import BY_RECORDING, MAX_PATTERN_LENGTH, METHODS, SplitFiles, check_group_by, check_methods
from serve_app.schemas.fields import (
    MOST_PATH_LENGTH,
    Description,
    EmptyMeansNone,
    PathText,
    RequestModel,
    ResponseModel,
    TaskId,
    Timestamp,
)
from serve_app.schemas.recipe import RecipeRequest, RecordingFields

#: Ratios are decimal fractions: 0.7 and 0.3 are all there is, whatever their binary forms add up to.
_RATIO_DIGITS = 9


def _check_grouping(text: str) -> str:
    try:
        check_group_by(text)
    except WorkError as error:
        raise ValueError(str(error)) from None
    return text


#: Leaves room for the ending of the default output.
DatasetPath = Annotated[PathText, StringConstraints(max_length=MOST_PATH_LENGTH - 8)]
MethodName = Annotated[str, Field(json_schema_extra={"enum": list(METHODS)})]
Grouping = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PATTERN_LENGTH), AfterValidator(_check_grouping)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1, description="the same seed gives the same result")]
OwnId = Annotated[TaskId | None, EmptyMeansNone]
PixelCount = Annotated[int, Field(gt=0, le=1_000_000)]
PixelPosition = Annotated[int, Field(ge=0, le=1_000_000)]


class DividedFields(RequestModel):
    """How class folders are divided into train and valid, or into train, valid and test."""

    train_ratio: float = Field(0.8, ge=0.1, le=0.9)
    val_ratio: float | None = Field(
        None, ge=0.05, le=0.5, validate_default=False, description="given: the rest is test; else the rest is valid"
    )
    seed: Seed = 0

    @field_validator("val_ratio")
    @classmethod
    def _leaves_a_test_part(cls, value: float | None, info: ValidationInfo) -> float | None:
        train = info.data.get("train_ratio")
        if value is not None and train is not None and round(train + value, _RATIO_DIGITS) >= 1:
            raise ValueError(f"train_ratio {train:g} and val_ratio {value:g} leave nothing for test: their sum must be below 1")
        return value


class SplitRequest(DividedFields):
    """Which class folders to divide into train and valid, or into train, valid and test."""

    input_path: PathText = Field(description="folder with one folder of pictures for each class")
    output_path: PathText = Field(description="folder that train, valid and test are written to")
    group_by: Grouping = Field(
        BY_RECORDING,
        description="files that stay together. recording: those of one recording, which the file's name tells; file: each for "
        "itself; else a regular expression whose first group, found in the path below the class folder, is the recording",
    )
    files: SplitFiles = Field(
        "copy", description="link: hard links, which take no time and no room; who edits one of the two files edits both"
    )
    task_id: OwnId = Field(None, description="the caller's own id; made here if absent")
    description: Description = ""


class AugmentRequest(RequestModel):
    """Which data set to enlarge, and how."""

    dataset_path: DatasetPath = Field(
        description="folder with train, valid or both, each with one folder of pictures for each class"
    )
    output_path: Annotated[PathText | None, EmptyMeansNone] = Field(
        None, description="folder of the enlarged data set; by default beside dataset_path, with _aug at its name's end"
    )
    methods: list[MethodName] = Field(
        list(METHODS),
        min_length=1,
        max_length=len(METHODS),
        json_schema_extra={"uniqueItems": True},
        description="in the order of their numbers in the files' names",
    )
    seed: Seed = 0
    task_id: OwnId = Field(None, description="the caller's own id; made here if absent")
    description: Description = ""

    @field_validator("methods", mode="before")
    @classmethod
    def _all_if_open(cls, value: Any) -> Any:
        return list(METHODS) if value is None else value

    @field_validator("methods")
    @classmethod
    def _known_and_named_once(cls, value: list[str]) -> list[str]:
        try:
            check_methods(value)
        except WorkError as error:
            raise ValueError(str(error)) from None
        return value


class CropRequest(RequestModel):
    """Which box to cut out of which pictures."""

    input_path: PathText = Field(description="a picture, or a folder tree of them")
    output_path: PathText = Field(description="folder that the cut pictures are written to, in the same tree")
    x: PixelPosition = Field(description="left edge of the box in pixels")
    y: PixelPosition = Field(description="upper edge of the box in pixels")
    width: PixelCount = Field(description="of the box, in pixels")
    height: PixelCount = Field(description="of the box, in pixels")
    task_id: OwnId = Field(None, description="the caller's own id; made here if absent")
    description: Description = ""


class SpectrogramRequest(DividedFields, RecordingFields):
    """Which recordings to make pictures of, and how."""

    input_path: PathText = Field(
        description="a recording, a folder tree of them, or a folder with one folder of recordings for each class"
    )
    output_path: PathText = Field(
        description="folder that the pictures, recipe.json and manifest.csv are written to; those of class folders go to train, "
        "valid and test, by recording"
    )
    recipe: RecipeRequest = Field(
        description="how frames become pictures; without a sample_rate all recordings must have the same, which it then gets"
    )
    image_size: int = Field(224, ge=32, le=8192, description="side of the square pictures in pixels: the network's input")
    task_id: OwnId = Field(None, description="the caller's own id; made here if absent")
    description: Description = ""


PreprocessingRequest = SplitRequest | AugmentRequest | CropRequest | SpectrogramRequest


class PreprocessingResponse(ResponseModel):
    """One preprocessing task."""

    task_id: str
    task_type: PreprocessingType
    status: TaskState
    message: str
    progress: int = Field(ge=0, le=100)
    input_path: str
    output_path: str
    stats: Mapping[str, int | list[str]] | None = Field(description="what was counted, once the task has ended")
    created_at: Timestamp
    updated_at: Timestamp
