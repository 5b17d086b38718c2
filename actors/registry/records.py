"""The model registry's facts: versions, aliases, where they come from, and what can be asked of the registry.

Plain values, which cross Ray. Owns how a model is named in requests. Must not import torch: the registry lives in a process that has none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from actors.core.tasks import Compact
from actors.learning.model_card import ModelCard

#: Letters, digits, dots, hyphens and underscores; the first is no dot, so that no name is a hidden file.
MODEL_NAME_PATTERN: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$"
#: The alias that a model without a version in its name means, while it has one.
PRODUCTION: Final = "production"
_NAME: Final = re.compile(MODEL_NAME_PATTERN)


class Precision(StrEnum):
    """How a network computes. AUTO: bfloat16 where the device has it and the golden inputs agree, else float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True)
class ServingWish(Compact):
    """How a version should be served.

    Attributes:
        precision: AUTO decides on each device; another one is forced.
        optimise: false serves the network as it was trained: no folding, no freezing, plain memory layout.
    """

    precision: Precision = Precision.AUTO
    optimise: bool = True


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What was chosen when a version was loaded on a kind of device, and why.

    Attributes:
        device_kind: cpu or cuda; simulated GPUs compute on the CPU and say so.
        precision: what it computes in.
        optimised: whether batch norm was folded and the graph frozen.
        reason: why, as a sentence: "forced", "the processor has no bfloat16", "golden inputs differ by ...".
        largest_difference: of the probabilities on the golden inputs against the expected ones.
        load_s: from the file to the first answer.
        memory_bytes: what the loaded version takes alone: its weights, and the working memory of its largest batch, which versions of one
            replica share.
        at: seconds since the epoch.
    """

    device_kind: str
    precision: Precision
    optimised: bool
    reason: str
    largest_difference: float
    load_s: float
    memory_bytes: int
    at: float


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where a version comes from; snapshots, which outlive the task.

    Attributes:
        task_id: of the training; "" for files.
        dataset_hash: of "train" and "valid", as the model card has it.
        parent_weights: the weights that the training started from, "" where it did not.
        parameters: the training's request.
        curves: by metric, one value an epoch; with "epoch" among them.
    """

    task_id: str = ""
    dataset_hash: Mapping[str, str] = field(default_factory=dict)
    parent_weights: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    curves: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServedVersion(Compact):
    """All that a replica needs to serve one version. Travels with every request, so a replica never has to ask.

    Attributes:
        name: of the model.
        version: counts from 1; never given twice, also after a deletion.
        weights_path: the file in the state folder, content-addressed.
        weights_sha256: checked at every load.
        architecture: its name in the catalogue.
        class_names: by output.
        image_size: side of the square pictures, in pixels.
        recipe: how pictures are made of IQ; None: recordings are refused.
        unknown_below: answers less confident than this (0 to 1) are called ``unknown``; None: never.
        wish: how it should be served.
        golden_path: a .npz in the state folder with ``inputs`` of shape (n, image_size, image_size, 3), uint8.
        golden_expected: probabilities for them, row by row, once a first load has told them in float32; empty before.
    """

    name: str
    version: int
    weights_path: str
    weights_sha256: str
    architecture: str
    class_names: tuple[str, ...]
    image_size: int
    recipe: Mapping[str, Any] | None = None
    unknown_below: float | None = None
    wish: ServingWish = ServingWish()
    golden_path: str = ""
    golden_expected: tuple[tuple[float, ...], ...] = ()

    @property
    def key(self) -> tuple[str, int]:
        """What tells versions apart."""
        return self.name, self.version


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version as the registry keeps it.

    Attributes:
        served: what replicas need of it.
        created_at: seconds since the epoch.
        size_bytes: of the weights file.
        card: as written by the training, or made of the configuration.
        lineage: where it comes from.
        description: the user's words.
        loads: the last report of each kind of device; none before it was checked, which every load does.
        config_path: a configuration in the state folder that says of these weights what ``served`` does, for jobs.
        warnings: what was put right or assumed when it was registered, as sentences for the user.
    """

    served: ServedVersion
    created_at: float
    size_bytes: int
    card: ModelCard
    lineage: Lineage
    description: str = ""
    loads: tuple[LoadReport, ...] = ()
    config_path: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model: its versions by number, and which of them each alias means."""

    name: str
    versions: Mapping[int, ModelVersion]
    aliases: Mapping[str, int]

    def aliases_of(self, version: int) -> tuple[str, ...]:
        """The aliases of a version, sorted."""
        return tuple(sorted(alias for alias, number in self.aliases.items() if number == version))

    @property
    def default_version(self) -> int | None:
        """What the bare name means: the production alias, else the newest version that ever answered, else the newest."""
        if PRODUCTION in self.aliases:
            return self.aliases[PRODUCTION]
        loaded = [number for number, version in self.versions.items() if version.loads]
        return max(loaded or self.versions, default=None)


@dataclass(frozen=True, slots=True)
class ModelTable:
    """All models as of one revision; the revision grows with every change."""

    revision: int
    models: Mapping[str, ModelEntry]


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model as requests name it: NAME, NAME@VERSION or NAME@ALIAS. ``wanted`` is what follows the @, "" for nothing."""

    name: str
    wanted: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.wanted}" if self.wanted else self.name


def is_model_name(text: str) -> bool:
    """Whether a model or an alias could be called so."""
    return _NAME.fullmatch(text) is not None


def is_alias_name(text: str) -> bool:
    """Whether an alias could be called so; a number, with or without a leading v, would be taken for a version."""
    return is_model_name(text) and not text.removeprefix("v").isdigit()


def parse_reference(text: str) -> ModelReference | None:
    """Read NAME, NAME@VERSION (3 or v3) or NAME@ALIAS; None where it is none of them."""
    name, at, wanted = text.partition("@")
    if not is_model_name(name) or (at and not is_model_name(wanted)):
        return None
    return ModelReference(name, wanted)


# What the registry can be asked for.


@dataclass(frozen=True, slots=True)
class WatchModels:
    """The table, as soon as its revision is another than ``revision`` (-1: at once), after ``wait_s`` at the latest."""

    revision: int = -1
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RegisterModel:
    """A new version: of a finished training (``task_id``), or of a weights file with its configuration. Paths are inside the data roots."""

    name: str
    task_id: str = ""
    cfg_path: str = ""
    weight_path: str = ""
    description: str = ""
    unknown_below: float | None = None
    wish: ServingWish = ServingWish()


@dataclass(frozen=True, slots=True)
class SetAlias:
    """An alias that means another version from now on.

    ``expected`` is the version that it meant when the promotion began (None: no such alias): what changed meanwhile is not overwritten.
    """

    name: str
    alias: str
    version: int
    expected: int | None


@dataclass(frozen=True, slots=True)
class RemoveAlias:
    """The end of an alias; its version stays."""

    name: str
    alias: str


@dataclass(frozen=True, slots=True)
class DeleteVersion:
    """The end of a version, or with ``version`` None of a whole model; refused while an alias means it."""

    name: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class NoteLoad:
    """What a replica chose when it loaded a version, and what it answered to the golden inputs in float32 where nobody had told yet."""

    name: str
    version: int
    report: LoadReport
    golden_expected: tuple[tuple[float, ...], ...] = ()


RegistryQuestion = WatchModels | RegisterModel | SetAlias | RemoveAlias | DeleteVersion | NoteLoad
