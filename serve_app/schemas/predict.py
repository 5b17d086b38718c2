"""Online predictions: what stands beside the body of a request, and the answer."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from actors.files.errors import WorkError
from actors.registry.records import Precision
from actors.signals.datatypes import parse_datatype
from serve_app.schemas.fields import EmptyMeansNone, ResponseModel
from serve_app.schemas.results import FileSummaryBody, PredictionBody

_MOST_HZ: Final = 1e12


def _check_datatype(text: str) -> str:
    try:
        return parse_datatype(text).name
    except WorkError as error:
        raise ValueError(str(error)) from None


Datatype = Annotated[str, StringConstraints(max_length=32), AfterValidator(_check_datatype)]


class PredictQuery(BaseModel):
    """The query of a prediction."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    model: str = Field(
        "",
        max_length=200,
        description="NAME, NAME@VERSION or NAME@ALIAS; may be left out where one model is registered",
        examples=["drones@production"],
    )
    top_k: int = Field(5, ge=1, le=100, description="most classes told of each picture, frame and recording")
    datatype: Annotated[Datatype | None, EmptyMeansNone] = Field(
        None, alias="format", description="SigMF datatype of samples without a header", examples=["cf32_le", "ci16_le", "cu8"]
    )
    sample_rate: float | None = Field(None, gt=0, le=_MOST_HZ, description="in Hz, of recordings that do not tell it")
    center_frequency: float | None = Field(None, ge=-_MOST_HZ, le=_MOST_HZ, description="in Hz, of recordings that do not tell it")
    spectrogram: bool = Field(
        default=False, description="whether the answer shows each recording as a picture; of 8 recordings at most"
    )


class SpectrogramBody(ResponseModel):
    """A whole recording as a picture without axes: time from left to right, the highest frequency on top."""

    file: str
    png_base64: str = Field(description="the PNG, as base64")
    width: int = Field(ge=1, le=1200, description="in pixels")
    height: int = Field(ge=1, le=400, description="in pixels")
    duration_s: float = Field(description="what the width stands for")
    center_frequency: float | None = Field(description="of the band that is shown, in Hz; null where nobody told it")
    sample_rate: float = Field(description="the width of that band, in Hz: the one that the model's recipe looks at")


class TimingBody(ResponseModel):
    """Where the time of an answer went; of several batches the sums."""

    queue_ms: float = Field(ge=0, description="waiting for the network")
    preprocess_ms: float = Field(ge=0, description="decoding, or making pictures of samples")
    forward_ms: float = Field(ge=0, description="in the network, with all that shared the batch")
    total_ms: float = Field(ge=0, description="from the request's arrival to its answer, the upload included")
    batch_sizes: list[int] = Field(description="of the forward passes that this answer took part in")


class PredictResponse(ResponseModel):
    """What was found in the files of one request, all of it by one version."""

    model: str
    version: int = Field(ge=1, description="the version that answered; during a promotion another one than the alias meant before")
    device: str = Field(description="what computed")
    simulated: bool = Field(description="whether the device is a simulated GPU, which computes on the CPU")
    precision: Precision
    cached: bool = Field(
        description="whether this was computed before, for the same content: the timing is that of then but for total_ms"
    )
    predictions: list[PredictionBody] = Field(
        description="a row for each picture and each frame of a recording, in the body's order"
    )
    summary: list[FileSummaryBody] = Field(description="a row for each recording: the class of the greatest mean probability")
    spectrograms: list[SpectrogramBody] = Field(description="with ?spectrogram=true a picture of each recording; else none")
    timing: TimingBody
