"""The bodies of evaluations: what to measure with what, and the figures that were found."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, with_config

from actors.learning.evaluation_plan import USUAL_SNR_DB
from serve_app.schemas.fields import PathText, ResponseModel
from serve_app.schemas.inference import SingleFields
from serve_app.schemas.tasks import EXACT, TaskResponse

#: Of one evaluation: each is a pass over all frames.
MOST_RATIOS = 64


def _check_ratios(ratios: list[float] | None) -> list[float] | None:
    for ratio in ratios or ():
        if (ratios or []).count(ratio) > 1:
            raise ValueError(f"{ratio:g} dB stands there more than once")
    # Minus nothing is nothing: the noise, which depends on the number, shall not differ.
    return ratios and [ratio + 0.0 for ratio in ratios]


Ratio = Annotated[float, Field(ge=-60, le=60)]
Ratios = Annotated[
    list[Ratio] | None, Field(max_length=MOST_RATIOS, json_schema_extra={"uniqueItems": True}), AfterValidator(_check_ratios)
]


class EvaluationRequest(SingleFields):
    """Which model to measure with which files of known classes."""

    data_path: PathText = Field(
        description="folder with one folder of IQ recordings, or of pictures, for each class; each named like one of the model's. "
        "Results must go elsewhere"
    )
    snr_db: Ratios = Field(
        default_factory=lambda: list(USUAL_SNR_DB),
        description="signal-to-noise ratios in dB that recordings are brought down to with noise; what is recorded is always "
        "evaluated as it is, too. Left out: -20 to 20 in steps of 2, for pictures none. null or []: none",
    )
    band_hz: float | None = Field(
        None,
        gt=0,
        le=1e12,
        description="width of the signals in Hz, for measuring their ratios; by default 20 MHz or a fifth of the rate",
    )
    seed: int = Field(0, ge=0, le=2**32 - 1, description="of the noise: the same seed gives the same figures")


class EvaluationScore(ResponseModel):
    """The figures at one ratio; null where no recording could be brought to it."""

    snr_db: float | None = Field(description="null for the files as they are")
    frames: int = Field(ge=0, description="pictures that were predicted")
    recordings: int = Field(ge=0, description="files that they are of")
    left_out: int = Field(ge=0, description="recordings that are noisier by themselves, or whose own ratio cannot be measured")
    accuracy: float | None = Field(ge=0, le=100, description="percent of the frames")
    macro_f1: float | None = Field(ge=0, le=1, description="mean over the classes that occur")
    recording_accuracy: float | None = Field(
        ge=0, le=100, description="percent of the recordings, each of the class with the greatest mean probability"
    )
    confusion: list[list[int]] = Field(description="frames: a row for each true class, in it a column for each predicted one")


class EvaluationResult(ResponseModel):
    """What an evaluation found."""

    format_version: Literal[1]
    model: str
    classes: list[str] = Field(description="in the order of the confusion matrices")
    kind: Literal["recordings", "pictures"]
    files: int = Field(ge=0, description="of the data")
    failed: int = Field(ge=0, description="of those, the ones that could not be used; evaluation_files.csv tells why")
    recipes: list[Mapping[str, Any]] = Field(
        description="how pictures were made of recordings, one for each of their rates where the recipe names none; empty for pictures"
    )
    seed: int
    band_hz: float | None
    scores: list[EvaluationScore] = Field(description="the files as they are first, then by rising ratio")


@with_config(EXACT)
class EvaluationResponse(TaskResponse):
    """An evaluation with what it found."""

    result: Annotated[EvaluationResult | None, Field(description="null until the task has completed")]
