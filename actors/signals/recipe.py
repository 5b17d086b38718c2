"""The recipe: how pictures are made of IQ, in full, so that a model can carry it and everyone makes the same pictures.

Owns the fields, their checks, their JSON and the cutting of a recording into frames. Must not import torch: the model
registry reads recipes in a process that has none.
"""

import math
import reprlib
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, Self, TypedDict, Unpack, get_args

from actors.signals.errors import RecipeError, RecordingTooShortError

RECIPE_VERSION: Final = 1

Pipeline = Literal["P1", "P2", "native"]
Window = Literal["hamming", "hanning", "hann"]
Short = Literal["pad", "refuse"]
Scaling = Literal["log_magnitude", "db_over_noise_floor"]
ColourMap = Literal["jet", "grey"]

#: Rates that differ by less are the same number, told or rounded differently: receivers' clocks are further apart.
RATE_TOLERANCE: Final = 1e-6
#: Samples of the longest frame: 2 GB as complex64, about what one device should be asked to hold at once.
_MOST_FRAME_SAMPLES: Final = 2**28
#: The longest transform: finer than 2 Hz at 100 kS/s.
_MOST_POINTS: Final = 65_536
#: Values of the text fields.
_CHOICES: Final = {"pipeline": Pipeline, "window": Window, "short": Short, "scaling": Scaling, "colour_map": ColourMap}
#: What each pipeline is, apart from what may be chosen.
_FIXED: Final[dict[str, dict[str, Any]]] = {
    "P1": {"window": "hamming", "overlap": 0.5, "scaling": "log_magnitude", "dynamic_range_db": None, "colour_map": "jet"},
    "P2": {"window": "hanning", "overlap": 0.0, "scaling": "log_magnitude", "dynamic_range_db": None, "colour_map": "jet"},
    "native": {"window": "hann", "scaling": "db_over_noise_floor", "colour_map": "grey", "picture_size": None},
}

#: Stand in for the recordings' own rate and a frame that fits it, while the rest of a recipe is checked.
_ANY_RATE: Final = 1e11
_ANY_DURATION_S: Final = 1e-3

#: RFUAV's waterfall: transforms of 256 points, as many as make 0.1 s of 100 MS/s, a picture every 150 of them.
_P2_POINTS: Final = 256
_P2_ROWS: Final = 39_063
_P2_STEP_ROWS: Final = 150
#: What is usual where one may choose, apart from the frame's length and step.
_USUAL: Final[dict[str, dict[str, Any]]] = {
    "P1": {"nfft": 1024, "short": "refuse", "picture_size": (1920, 1440), "allow_resampling": True},
    "P2": {"nfft": _P2_POINTS, "short": "refuse", "picture_size": (3000, 1800), "allow_resampling": True},
    "native": {"nfft": 1024, "overlap": 0.5, "dynamic_range_db": 50.0, "short": "pad", "allow_resampling": True},
}


class RecordingPolicy(TypedDict, total=False):
    """What every pipeline lets one choose about recordings that do not fit."""

    short: Short
    allow_resampling: bool


class NativeChoices(RecordingPolicy, total=False):
    """What the native pipeline lets one choose besides the transform and the frame."""

    dynamic_range_db: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """How frames of IQ become pictures.

    Invariant: every field has been checked, and two equal recipes make equal pictures of equal samples.
    """

    pipeline: Pipeline
    #: Samples per second that frames are made at.
    sample_rate: float
    window: Window
    #: Points of a transform; even, so that zero frequency lies in the middle.
    nfft: int
    #: The part of a transform's samples that the next one uses again.
    overlap: float
    frame_duration_s: float
    #: From the start of a frame to the start of the next.
    frame_step_s: float
    #: What happens to a recording shorter than one frame.
    short: Short
    scaling: Scaling
    #: What lies between black and white, in dB; None: each picture's own least and greatest value.
    dynamic_range_db: float | None
    colour_map: ColourMap
    #: Width and height of the picture that is resized for the network; None: values are resized without a picture.
    picture_size: tuple[int, int] | None
    #: Whether recordings of other rates are brought to ``sample_rate``.
    allow_resampling: bool

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            RecipeError: One cannot be used; the message names it, its value and the remedy.
        """
        _check_choices(self)
        _check_numbers(self)
        _check_flags(self)
        _check_pipeline(self)
        _check_frame(self)

    @classmethod
    def p1(
        cls,
        sample_rate: float = 100e6,
        *,
        stft_point: int = 1024,
        frame_duration_s: float = 0.1,
        ratio: int = 1,
        **policy: Unpack[RecordingPolicy],
    ) -> Self:
        """Make RFUAV's ``generate_images``: STFT pictures, each scaled to itself; frames step by duration / 2**ratio."""
        return cls(
            pipeline="P1",
            sample_rate=sample_rate,
            window="hamming",
            nfft=stft_point,
            overlap=0.5,
            frame_duration_s=frame_duration_s,
            frame_step_s=frame_duration_s * 2.0**-ratio,
            short=policy.get("short", "refuse"),
            scaling="log_magnitude",
            dynamic_range_db=None,
            colour_map="jet",
            picture_size=(1920, 1440),
            allow_resampling=policy.get("allow_resampling", True),
        )

    @classmethod
    def p2(
        cls,
        sample_rate: float = 100e6,
        *,
        rows: int = _P2_ROWS,
        step_rows: int = _P2_STEP_ROWS,
        picture_size: tuple[int, int] = (3000, 1800),
        **policy: Unpack[RecordingPolicy],
    ) -> Self:
        """Make RFUAV's waterfall: windows of ``rows`` transforms of 256 points side by side, ``step_rows`` apart.

        Args:
            sample_rate: Samples per second.
            rows: Transforms in a picture.
            step_rows: Transforms from a picture to the next.
            picture_size: RFUAV draws 3000 x 1800, RFUAV-server 1920 x 1440.
            **policy: As the fields of these names; short recordings are refused and others resampled by default.
        """
        return cls(
            pipeline="P2",
            sample_rate=sample_rate,
            window="hanning",
            nfft=_P2_POINTS,
            overlap=0.0,
            frame_duration_s=rows * _P2_POINTS / sample_rate,
            frame_step_s=step_rows * _P2_POINTS / sample_rate,
            short=policy.get("short", "refuse"),
            scaling="log_magnitude",
            dynamic_range_db=None,
            colour_map="jet",
            picture_size=picture_size,
            allow_resampling=policy.get("allow_resampling", True),
        )

    @classmethod
    def native(
        cls,
        sample_rate: float,
        *,
        nfft: int = 1024,
        overlap: float = 0.5,
        frame_duration_s: float = 0.1,
        frame_step_s: float | None = None,
        **choices: Unpack[NativeChoices],
    ) -> Self:
        """Make this project's own pictures: power over the frame's noise floor on a fixed scale, so loudness means something."""
        return cls(
            pipeline="native",
            sample_rate=sample_rate,
            window="hann",
            nfft=nfft,
            overlap=overlap,
            frame_duration_s=frame_duration_s,
            frame_step_s=frame_duration_s if frame_step_s is None else frame_step_s,
            short=choices.get("short", "pad"),
            scaling="db_over_noise_floor",
            dynamic_range_db=choices.get("dynamic_range_db", 50.0),
            colour_map="grey",
            picture_size=None,
            allow_resampling=choices.get("allow_resampling", True),
        )

    @classmethod
    def of(cls, choices: object, *, sample_rate: float | None = None) -> Self:
        """Complete what somebody chose: ``pipeline``, and any other field; what is missing or null is usual for the pipeline.

        What ``to_dict`` made is a choice too, of everything.

        Args:
            choices: JSON values by the names of the fields, with or without ``version``.
            sample_rate: Where the choices name none: that of the recordings. There is no usual rate.

        Raises:
            RecipeError: A field is unknown, or its value cannot be used; or nobody tells the sample rate.
        """
        values = _readable(choices, {item.name for item in fields(cls)})
        chosen = {name: value for name, value in values.items() if value is not None}
        pipeline = chosen.get("pipeline")
        if not isinstance(pipeline, str) or pipeline not in get_args(Pipeline):
            raise _wrong("pipeline", pipeline, f"Use one of {', '.join(get_args(Pipeline))}.")
        rate = chosen.setdefault("sample_rate", sample_rate)
        if rate is None:
            raise RecipeError("the recipe has no sample_rate", "Give it in the recipe, in samples per second, such as 100e6.")
        if not _is_number(rate) or rate <= 0:
            raise _wrong("sample_rate", rate, "Use a number of samples per second above 0.")
        return cls(**_FIXED[pipeline] | _usual_frame(pipeline, rate, chosen) | _USUAL[pipeline] | chosen)

    @property
    def hop(self) -> int:
        """Samples from a transform's start to the next one's."""
        return self.nfft - round(self.nfft * self.overlap)

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        return _whole_samples(self.sample_rate * self.frame_duration_s)

    @property
    def step_samples(self) -> int:
        """Samples from the start of a frame to the start of the next."""
        return _whole_samples(self.sample_rate * self.frame_step_s)

    def frame_starts(self, total_samples: int) -> range:
        """Tell where the frames of a recording at the recipe's rate start; an incomplete last frame is left out.

        Raises:
            RecordingTooShortError: There is no sample; or fewer than a frame's, and the recipe refuses to pad.
        """
        missing = self.frame_samples - total_samples
        if total_samples < 1 or (missing > 0 and self.short == "refuse"):
            raise RecordingTooShortError(
                f"{total_samples} samples are fewer than the {self.frame_samples} of a frame "
                f"({self.frame_duration_s:g} s at {self.sample_rate:g} S/s)",
                'Use a longer recording, a recipe with a shorter frame_duration_s, or short="pad".',
            )
        return range(0, max(total_samples - self.frame_samples, 0) + 1, self.step_samples)

    def to_dict(self) -> dict[str, Any]:
        """Make JSON values of it, with the version of their layout."""
        content = asdict(self)
        content["picture_size"] = list(self.picture_size) if self.picture_size else None
        return {"version": RECIPE_VERSION, **content}

    @classmethod
    def from_dict(cls, content: object) -> Self:
        """Read what ``to_dict`` made.

        Raises:
            RecipeError: It is of another version, has unknown keys, lacks some, or a value cannot be used.
        """
        names = {item.name for item in fields(cls)}
        if not isinstance(content, dict) or "version" not in content:
            raise RecipeError(
                f"the recipe is {reprlib.repr(content)}", "Give a JSON object with a version, as the model card holds it."
            )
        values = _readable(content, names)
        if missing := sorted(names - values.keys()):
            raise RecipeError(f"the recipe has no field {missing[0]}", "Use a recipe that is whole, as the model card holds it.")
        return cls(**values)


def check_recipe(choices: object) -> None:
    """Check what somebody chose, as far as that goes before the rate of the recordings is known.

    Raises:
        RecipeError: As ``Recipe.of``, but for a sample rate that is missing.
    """
    has_rate = isinstance(choices, Mapping) and choices.get("sample_rate") is not None
    if has_rate or not isinstance(choices, Mapping):
        Recipe.of(choices)
    else:
        # Samples of a frame can only be counted at the rate.
        Recipe.of({**choices, "frame_duration_s": _ANY_DURATION_S}, sample_rate=_ANY_RATE)


def _readable(content: object, names: AbstractSet[str]) -> dict[str, Any]:
    """Take the fields out of JSON values.

    Raises:
        RecipeError: It is no object, of another version, or has unknown keys.
    """
    if not isinstance(content, Mapping):
        raise RecipeError(f"the recipe is {reprlib.repr(content)}", "Give a JSON object, as the model card holds it.")
    values = dict(content)
    version = values.pop("version", RECIPE_VERSION)
    if version != RECIPE_VERSION or isinstance(version, bool):
        raise _wrong("version", version, f"This program reads version {RECIPE_VERSION}.")
    if strangers := sorted(map(str, values.keys() - names)):
        raise _wrong(strangers[0], values[strangers[0]], f"It is no field of a recipe; known are {', '.join(sorted(names))}.")
    if isinstance(values.get("picture_size"), list):
        values["picture_size"] = tuple(values["picture_size"])
    return values


def _usual_frame(pipeline: str, rate: float, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Tell a frame's usual duration, and the usual step of the duration that is chosen."""
    if pipeline == "P2":
        return {"frame_duration_s": _P2_ROWS * _P2_POINTS / rate, "frame_step_s": _P2_STEP_ROWS * _P2_POINTS / rate}
    duration = chosen.get("frame_duration_s", 0.1)
    # What is no number is refused with the other fields.
    step = duration * (0.5 if pipeline == "P1" else 1.0) if _is_number(duration) else duration
    return {"frame_duration_s": 0.1, "frame_step_s": step}


def _whole_samples(amount: float) -> int:
    """Drop a part of a sample, but not a whole one lost to binary fractions (0.3 s of 10 Hz are 3 samples)."""
    return math.floor(amount + 1e-6)


def _wrong(field: str, value: object, remedy: str) -> RecipeError:
    return RecipeError(f"the recipe's {field} is {reprlib.repr(value)}", remedy)


def _check_choices(recipe: Recipe) -> None:
    for name, choices in _CHOICES.items():
        value = getattr(recipe, name)
        if value not in get_args(choices):
            raise _wrong(name, value, f"Use one of {', '.join(get_args(choices))}.")


def _check_numbers(recipe: Recipe) -> None:
    """Check each number by itself."""
    limits: tuple[tuple[str, float, float], ...] = (
        ("sample_rate", 1.0, 1e12),
        ("frame_duration_s", 1e-9, 1e6),
        ("frame_step_s", 1e-9, 1e6),
        ("dynamic_range_db", 1.0, 200.0),
    )
    for name, least, most in limits:
        value = getattr(recipe, name)
        if value is None and name == "dynamic_range_db":
            continue
        if not _is_number(value) or not least <= value <= most:
            raise _wrong(name, value, f"Use a number from {least:g} to {most:g}.")
    if not _is_whole(recipe.nfft) or not 8 <= recipe.nfft <= _MOST_POINTS or recipe.nfft % 2:
        raise _wrong("nfft", recipe.nfft, f"Use an even whole number from 8 to {_MOST_POINTS}.")
    if not _is_number(recipe.overlap) or not 0 <= recipe.overlap <= 0.95:
        raise _wrong("overlap", recipe.overlap, "Use a number from 0 to 0.95: 0.5 means half.")


def _check_flags(recipe: Recipe) -> None:
    if not isinstance(recipe.allow_resampling, bool):
        raise _wrong("allow_resampling", recipe.allow_resampling, "Use true or false.")
    size = recipe.picture_size
    if size is None:
        return
    if not isinstance(size, tuple) or len(size) != 2 or not all(_is_whole(side) and 16 <= side <= 8192 for side in size):
        raise _wrong("picture_size", size, "Use a width and a height from 16 to 8192 pixels.")


def _check_pipeline(recipe: Recipe) -> None:
    """Check that the fields are those that the pipeline's name promises."""
    for name, expected in _FIXED[recipe.pipeline].items():
        if getattr(recipe, name) != expected:
            raise _wrong(name, getattr(recipe, name), f"Pipeline {recipe.pipeline} has {name} {expected!r}.")
    if recipe.pipeline == "native" and recipe.dynamic_range_db is None:
        raise _wrong("dynamic_range_db", None, "Pipeline native needs a number of dB, such as 50.")
    if recipe.pipeline != "native" and recipe.picture_size is None:
        raise _wrong("picture_size", None, f"Pipeline {recipe.pipeline} needs one, such as (1920, 1440).")


def _check_frame(recipe: Recipe) -> None:
    """Check that a frame holds a transform, fits in memory and moves on."""
    if not recipe.nfft <= recipe.frame_samples <= _MOST_FRAME_SAMPLES:
        remedy = f"A frame has {recipe.frame_samples} samples; it needs {recipe.nfft} (nfft) to {_MOST_FRAME_SAMPLES}."
        raise _wrong("frame_duration_s", recipe.frame_duration_s, remedy)
    if recipe.step_samples < 1:
        raise _wrong("frame_step_s", recipe.frame_step_s, f"Use at least one sample, {1 / recipe.sample_rate:g} s.")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """Tell a finite number; a whole one that no float can hold, as JSON and YAML may have it, is none."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
