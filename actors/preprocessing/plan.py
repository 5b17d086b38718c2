"""What a preprocessing task is told to do, what it says meanwhile, and how it ends.

Owns the plans of all tasks and the rules that can be checked before anything is read. It imports neither OpenCV nor
torch: a submission is checked with it by a process that has neither.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.errors import ConfigError

#: The augmentations by name, in the order of the default.
METHODS: Final[tuple[str, ...]] = ("AdvancedBlur", "CLAHE", "ColorJitter", "GaussNoise", "ISONoise", "Sharpen")
#: ``group_by``: what the file name tells of the recording, by the rule of ``recordings``.
BY_RECORDING: Final = "recording"
#: ``group_by``: every file is a recording of its own.
BY_FILE: Final = "file"
#: Characters of a regular expression as ``group_by``; enough for a name, and little to hide a trap in.
MAX_PATTERN_LENGTH: Final = 200

SplitFiles = Literal["copy", "link"]


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """Copies class folders of pictures into train, valid and, where ``val_ratio`` is given, test."""

    input_path: Path
    output_path: Path
    train_ratio: float
    #: None: everything that is not for training is for validation.
    val_ratio: float | None
    seed: int
    #: ``recording``, ``file`` or a regular expression whose first group is the recording.
    group_by: str
    threads: int
    #: ``link``: the parts hold hard links to the pictures, where the file systems can.
    files: SplitFiles = "copy"
    #: What may be read; links that lead out of it are not followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class AugmentPlan:
    """Writes each picture of train and valid as it is, and once changed by each method."""

    dataset_path: Path
    output_path: Path
    #: The number in a file's name is the method's place here.
    methods: tuple[str, ...]
    seed: int
    threads: int
    #: What may be read; links that lead out of it are not followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class CropPlan:
    """Cuts the same box, in pixels from the upper left corner, out of a picture or of all pictures of a tree."""

    input_path: Path
    output_path: Path
    x: int
    y: int
    width: int
    height: int
    threads: int
    #: What may be read; links that lead out of it are not followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class RecordingHints:
    """What is told of recordings whose metadata and names do not tell it."""

    sample_rate: float | None = None
    #: Hz.
    center_frequency: float | None = None
    #: SigMF's name of the samples' datatype.
    datatype: str | None = None


@dataclass(frozen=True, slots=True)
class SpectrogramPlan:
    """Makes a picture of every frame of recordings; class folders become train, valid and, with ``val_ratio``, test."""

    input_path: Path
    output_path: Path
    #: What was chosen of the recipe. What is missing is usual for its pipeline; a missing sample rate is the recordings' own.
    recipe: Mapping[str, Any]
    #: Side of the square pictures in pixels.
    image_size: int
    train_ratio: float
    #: None: everything that is not for training is for validation.
    val_ratio: float | None
    seed: int
    threads: int
    hints: RecordingHints = RecordingHints()
    #: What may be read; links that lead out of it are not followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a task's progress."""

    level: Literal["INFO", "WARNING"]
    message: str
    #: Pictures done.
    step: int | None
    #: Percent, 0 to 100.
    progress: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended; what a stopped one has finished is in its place, and the next run goes on from there."""

    status: Literal["completed", "stopped"]
    stats: Mapping[str, Any]
    #: Pictures dealt with, the failed ones included.
    done: int
    total: int


Report = Callable[[Record], None]
#: Gives finished files of the staging folder their names within the output folder, all under one proof of the lease.
PublishAll = Callable[[Sequence[tuple[Path, str]]], None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs from outside: whom to tell, whether to stop, and how files get their places."""

    report: Report
    should_stop: Callable[[], bool]
    #: A folder of this attempt alone, on the file system of the output folder.
    staging: Path
    publish_all: PublishAll


def check_split(plan: SplitPlan) -> None:
    """Check what can be checked of a split before anything is read.

    Raises:
        ConfigError: The ratios leave nothing for a part, or ``group_by`` is no usable regular expression.
    """
    check_ratios(plan.train_ratio, plan.val_ratio)
    check_group_by(plan.group_by)


def check_ratios(train_ratio: float, val_ratio: float | None) -> None:
    """Check the sizes of a split's parts.

    Raises:
        ConfigError: They leave nothing for a part.
    """
    if not 0 < train_ratio < 1:
        raise ConfigError(f"train_ratio is {train_ratio}", "Give a number between 0 and 1.")
    if val_ratio is not None and not 0 < val_ratio < 1 - train_ratio:
        problem = f"train_ratio {train_ratio} and val_ratio {val_ratio} leave nothing for test"
        raise ConfigError(problem, "Give ratios above 0 whose sum is below 1, or leave val_ratio out.")


def check_group_by(group_by: str) -> None:
    """Check that ``group_by`` is one of the two words or a regular expression with a group.

    Raises:
        ConfigError: It is neither.
    """
    if group_by in (BY_RECORDING, BY_FILE):
        return
    hint = f"Give {BY_RECORDING!r}, {BY_FILE!r} or a regular expression whose first group is the recording, such as '^(.+)_\\d+'."
    if len(group_by) > MAX_PATTERN_LENGTH:
        raise ConfigError(f"group_by has {len(group_by)} characters, more than {MAX_PATTERN_LENGTH}", hint)
    try:
        groups = re.compile(group_by).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"group_by {group_by!r} is no regular expression: {error}", hint) from error
    if groups < 1:
        raise ConfigError(f"group_by {group_by!r} has no group", hint)


def check_methods(methods: Sequence[str]) -> None:
    """Check the names of augmentations.

    Raises:
        ConfigError: There is none, one is unknown or one is given twice.
    """
    hint = f"Choose of {', '.join(METHODS)}, each once."
    unknown = [name for name in methods if name not in METHODS]
    if unknown or not methods:
        raise ConfigError(f"unknown methods: {', '.join(unknown)}" if unknown else "methods is empty", hint)
    if len(set(methods)) < len(methods):
        raise ConfigError(f"methods names one twice: {', '.join(methods)}", hint)


def check_crop(plan: CropPlan) -> None:
    """Check that the box of a crop is one.

    Raises:
        ConfigError: It begins at a negative place or has no pixel.
    """
    for field, least in (("x", 0), ("y", 0), ("width", 1), ("height", 1)):
        value = getattr(plan, field)
        if value < least:
            raise ConfigError(f"{field} is {value}", f"Give {least} or more.")
