"""What a training is asked to do, what it reports and what it ends with.

Plain values that travel between processes; importing them costs no torch. What they mean is decided in ``training``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self

from actors.files.data_roots import ANYWHERE, DataRoots

#: The file in a training's output folder that holds its full state, to continue from.
RESUME_STATE: Final = "last.ckpt"
#: The one before it, for where that one is damaged, and the list of both.
PREVIOUS_STATE: Final = "previous.ckpt"
CHECKPOINT_LIST: Final = "checkpoints.json"


class Stage(StrEnum):
    """Where in a training a record comes from; these words are part of the HTTP contract."""

    EPOCH_START = "epoch_start"
    TRAINING = "training"
    VALIDATION = "validation"
    EPOCH_END = "epoch_end"
    COMPLETED = "completed"


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingChoices:
    """What somebody chose of how recordings are read, and how pictures are made of them, by the names of the HTTP contract."""

    #: As ``Recipe.of`` takes it.
    recipe: Mapping[str, Any]
    #: The fields of ``RadioAugmentation``; None where frames are looked at as they are.
    augmentation: Mapping[str, Any] | None = None
    #: Samples per second, Hz, and SigMF's name of the datatype, for recordings that do not tell.
    sample_rate: float | None = None
    center_frequency: float | None = None
    datatype: str | None = None

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Self | None:
        """Take the choices out of a checked request, or give None where it has no recipe."""
        if not request.get("recipe"):
            return None
        return cls(
            recipe=request["recipe"],
            augmentation=request.get("augmentation"),
            sample_rate=request.get("sample_rate"),
            center_frequency=request.get("center_frequency"),
            datatype=request.get("format"),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingPlan:
    """Everything that decides the outcome of a training, resolved: nothing in it is looked up anywhere else."""

    model: str
    #: The width of the head; at least the number of class folders.
    num_classes: int
    train_path: Path
    val_path: Path
    #: Where the finished files go. Must exist.
    output_dir: Path
    #: Where files are made before they are handed over: of this attempt alone, on the file system of ``output_dir``.
    staging_dir: Path
    batch_size: int = 8
    num_epochs: int = 100
    learning_rate: float = 1e-4
    image_size: int = 224
    weight_path: str | None = None
    pretrained: bool = False
    shuffle: bool = True
    seed: int = 0
    #: A torch device, such as "cpu" or "cuda:0".
    device: str = "cpu"
    #: Torch threads; a resumed training keeps the count it began with, since results depend on it.
    threads: int = 1
    #: How many per-epoch weights files stay; None keeps all.
    keep_checkpoints: int | None = None
    #: Epochs without a better val_acc after which the training ends; None never ends it early.
    early_stopping_patience: int | None = None
    #: Mixed precision; has an effect on GPUs only.
    amp: bool = False
    #: What this process may take of its GPU, and the part of it that its CUDA context takes; 0 where unknown.
    gpu_budget_bytes: int = 0
    gpu_context_bytes: int = 0
    #: Whether rarer classes weigh more in the loss, in inverse proportion to their pictures.
    class_weights: bool = False
    #: Needed where the trees hold recordings.
    recordings: RecordingChoices | None = None
    #: Decoded pictures up to this size, of all ranks together, stay in memory, larger sets in a file in the staging folder;
    #: frames that are augmented stay in memory up to it, and are read again where they are more.
    picture_cache_bytes: int = 2 << 30
    task_id: str = ""
    project_version: str = ""
    #: The last.ckpt to continue from.
    resume_from: Path | None = None
    #: Of the processes that train together, which one this is and how many they are. Each has its own device and learns
    #: from ``batch_size`` pictures of every step; all of them get the same plan but for rank and device.
    rank: int = 0
    world_size: int = 1
    #: The file where they meet: in a folder that all of them see, made by none before, and of this attempt alone.
    rendezvous: Path | None = None
    #: Seconds after which one that does not answer counts as lost. The longest wait of a sound training is for the disk
    #: to take the first rank's files, or for the slowest process to start.
    rank_timeout_s: float = 300.0
    #: Where everything that is read must lie, links followed.
    roots: DataRoots = ANYWHERE


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """One line of a training's log, with figures where there are some."""

    level: Literal["INFO", "WARNING"]
    message: str
    stage: Stage | None
    #: Batches done in this epoch.
    step: int | None
    #: Of the whole training, 0..100.
    progress: int
    #: Counted from 1; 0 before the first.
    epoch: int
    total_epochs: int
    metrics: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """How a training ended that did not fail."""

    status: Literal["completed", "stopped"]
    epochs_done: int
    best_acc: float = 0.0
    #: Of the last epoch done, by the names of the HTTP contract; empty before the first.
    metrics: Mapping[str, float] = field(default_factory=dict)
    #: The same of every epoch.
    history: tuple[Mapping[str, float], ...] = ()
    #: Class names in index order, and pictures by [true class][predicted class] in the last validation.
    classes: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    #: The names of the files written, in the output folder.
    files: tuple[str, ...] = ()
