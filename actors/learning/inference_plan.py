"""What an inference is asked to do, what it reports and what it ends with.

Plain values; importing them costs no torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.plan import Stage


@dataclass(frozen=True, slots=True)
class InferencePlan:
    """Everything one inference needs to know."""

    cfg_path: Path
    weight_path: Path
    #: A picture or a recording, or a folder of them.
    source_path: Path
    #: Where ``publish`` puts files; what lies there is never taken as input.
    output_dir: Path
    #: Where files are written first: of this attempt alone, on the file system of ``output_dir``.
    staging_dir: Path
    device: str
    threads: int
    batch_size: int = 16
    annotate: bool = True
    #: Where everything that is read must lie, links followed.
    roots: DataRoots = ANYWHERE
    #: How pictures are made of recordings, as ``Recipe.of`` takes it; None: as the model card or the configuration tells.
    recipe: Mapping[str, Any] | None = None
    #: Of recordings that do not tell.
    sample_rate: float | None = None
    center_frequency: float | None = None
    datatype: str | None = None


@dataclass(frozen=True, slots=True)
class InferenceRecord:
    """One line of an inference's progress."""

    level: Literal["INFO", "WARNING"]
    message: str
    stage: Stage | None
    #: Pictures and frames done.
    step: int
    #: Percent, 0 to 100.
    progress: int


@dataclass(frozen=True, slots=True)
class InferenceOutcome:
    """How an inference ended; one that was stopped has published nothing.

    A recording that has no frames since it cannot be used counts as one.
    """

    status: Literal["completed", "stopped"]
    #: Pictures and frames found.
    total: int
    #: Those that were gone through.
    done: int
    #: Of those, the ones without an answer.
    failed: int
    #: What was counted, for the user's eyes.
    unit: str = "pictures"


Report = Callable[[InferenceRecord], None]
Publish = Callable[[Path, str], None]
