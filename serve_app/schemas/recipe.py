"""The fields that say what a recording is and how pictures are made of it, shared by the bodies of several routes."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from actors.signals.errors import RecipeError
from actors.signals.recipe import ColourMap, Pipeline, Scaling, Short, Window, check_recipe
from serve_app.schemas.fields import RequestModel

#: SigMF's names of what is read.
SampleFormat = Literal[
    "cf32_le", "cf32_be", "cf64_le", "cf64_be", "ci8", "ci16_le", "ci16_be", "ci24_le", "ci24_be", "ci32_le", "ci32_be",
    "cu8", "cu16_le", "cu16_be", "cu32_le", "cu32_be",
]  # fmt: skip
PictureSide = Annotated[int, Field(ge=16, le=8192)]
Span = Annotated[tuple[float, float], Field(description="the least and the greatest value")]


class RecipeRequest(RequestModel):
    """How pictures are made of IQ. Only ``pipeline`` must be chosen; the recipe of a model card or a recipe.json fits as it is."""

    pipeline: Pipeline = Field(
        description="P1: RFUAV's generate_images; P2: RFUAV's waterfall; native: decibels over the noise floor, on a fixed scale"
    )
    version: Literal[1] = 1
    sample_rate: float | None = Field(
        None, ge=1, le=1e12, description="samples per second that frames are made at; by default the recordings' own"
    )
    nfft: int | None = Field(None, ge=8, le=65_536, multiple_of=2, description="points of a transform")
    overlap: float | None = Field(None, ge=0, le=0.95, description="of transforms; to be chosen for native only")
    frame_duration_s: float | None = Field(None, ge=1e-9, le=1e6, description="seconds of a picture")
    frame_step_s: float | None = Field(None, ge=1e-9, le=1e6, description="from the start of a picture to the next one's")
    short: Short | None = Field(None, description="what becomes of a recording shorter than a picture")
    dynamic_range_db: float | None = Field(None, ge=1, le=200, description="from black to white; native only")
    picture_size: tuple[PictureSide, PictureSide] | None = Field(
        None, description="width and height of the picture that is then made smaller for the network; P1 and P2 only"
    )
    allow_resampling: bool | None = Field(None, description="whether recordings of other rates are brought to sample_rate")
    window: Window | None = Field(None, description="follows from the pipeline")
    scaling: Scaling | None = Field(None, description="follows from the pipeline")
    colour_map: ColourMap | None = Field(None, description="follows from the pipeline")

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        try:
            check_recipe(self.model_dump())
        except RecipeError as error:
            raise ValueError(str(error)) from None
        return self


class RadioAugmentationRequest(RequestModel):
    """How far frames of IQ are changed before each look at them; what is left out changes nothing."""

    frequency_roll: float = Field(0.0, ge=0, le=0.5, description="greatest roll of the frequency axis, as a part of the band")
    time_shift: float = Field(0.0, ge=0, le=0.5, description="greatest circular shift in time, as a part of the frame")
    gain_db: Span = (0.0, 0.0)
    snr_db: Span | None = Field(None, description="white noise is added down to a ratio drawn from this span")

    @model_validator(mode="after")
    def _spans_are_in_order(self) -> Self:
        for name, span in (("gain_db", self.gain_db), ("snr_db", self.snr_db)):
            if span is not None and not -200 <= span[0] <= span[1] <= 200:
                raise ValueError(f"{name} is {list(span)}: use the least and the greatest value, within 200 dB")
        return self


class RecordingFields(RequestModel):
    """What recordings are, where neither their metadata nor their names tell."""

    sample_rate: float | None = Field(None, ge=1, le=1e12, description="samples per second of recordings that do not tell")
    center_frequency: float | None = Field(None, ge=-1e12, le=1e12, description="Hz, of recordings that do not tell")
    format: SampleFormat | None = Field(None, description="of the samples, for recordings whose ending tells none")
