"""What an evaluation is asked to do, what it reports and what it ends with.

Plain values that travel between processes; importing them costs no torch. What they mean is decided in ``evaluation``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import DatasetError
from actors.learning.evaluation_files import Evaluation
from actors.learning.labelled_files import LabelledFiles
from actors.learning.plan import Stage

#: The ratios in dB that recordings are evaluated at where nobody chooses: those of RFUAV's benchmark.
USUAL_SNR_DB: Final = tuple(float(ratio) for ratio in range(-20, 21, 2))


class NoiseNotPossibleError(DatasetError):
    """Ratios of signal to noise for files that are no recordings."""

    code = "noise_not_possible"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationPlan:
    """Everything that decides the outcome of an evaluation."""

    cfg_path: Path
    weight_path: Path
    #: Class folders of recordings or of pictures.
    data_path: Path
    #: Where files are made before they are published: of this attempt alone.
    staging_dir: Path
    #: A torch device, such as "cpu" or "cuda:0".
    device: str
    threads: int
    #: In dB; None: the usual ones for recordings, none for pictures.
    snr_db: tuple[float, ...] | None = None
    #: Of the noise.
    seed: int = 0
    #: The signals' width in Hz, as far as known; None: as the estimate assumes it.
    band_hz: float | None = None
    #: Chosen fields of a recipe; None: the model's own.
    recipe: Mapping[str, Any] | None = None
    #: What recordings are that do not tell: samples per second, Hz, and SigMF's name of a datatype.
    sample_rate: float | None = None
    center_frequency: float | None = None
    datatype: str | None = None
    batch_size: int = 16
    #: Where everything that is read must lie, links followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One line of an evaluation's log; with figures at the end of each ratio."""

    level: Literal["INFO", "WARNING"]
    message: str
    stage: Stage | None
    #: Frames done, over all ratios.
    step: int
    #: Percent, 0 to 100.
    progress: int
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class EvaluationOutcome:
    """How an evaluation ended; one that was stopped has published nothing."""

    status: Literal["completed", "stopped"]
    #: Ratios done, the recordings as they are among them; and how many there were to do.
    done: int
    total: int
    #: Frames done, over all ratios.
    frames: int
    #: What was found, of a completed one.
    evaluation: Evaluation | None = None


def asked_ratios(request: Mapping[str, Any]) -> tuple[float, ...] | None:
    """Tell which ratios a request names; None where it leaves them open. Nothing and null mean the files as they are only."""
    return tuple(map(float, request["snr_db"] or ())) if "snr_db" in request else None


def choose_ratios(snr_db: Sequence[float] | None, data: LabelledFiles) -> tuple[float, ...]:
    """Settle the ratios that noise is added for, rising; None means the usual ones.

    Raises:
        NoiseNotPossibleError: There are some, and the data are pictures.
    """
    if data.kind == "recordings":
        return tuple(sorted(USUAL_SNR_DB if snr_db is None else snr_db))
    if snr_db:
        problem = f"{data.root} holds pictures, to which no noise can be added"
        raise NoiseNotPossibleError(problem, "Give recordings as data_path, or leave snr_db out.")
    return ()
