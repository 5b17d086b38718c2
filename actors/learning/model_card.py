"""The model card: what must be known of a weights file to use it rightly.

Owns the card's fields, its JSON and its format version. Must not import torch: the model registry reads cards in a
process that has none.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, get_origin

from actors.files.atomic import write_text_atomically
from actors.files.data_roots import ANYWHERE, DataRoots, OutsideRootsError
from actors.learning.catalog import MODELS
from actors.learning.errors import ModelCardError, WeightsNotFoundError

CARD_FILE: Final = "model_card.json"
FORMAT_VERSION: Final = 1
#: A card of a thousand classes takes 30 kB.
MAX_CARD_BYTES: Final = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """A description of one weights file.

    ``classes`` may be shorter than the head: outputs beyond it have no name.
    """

    #: The model's name in the catalogue.
    architecture: str
    #: Class names in index order.
    classes: list[str]
    #: The width of the head.
    num_classes: int
    #: Side of the square pictures, in pixels.
    image_size: int
    #: How pixels in 0..1 are normalised further; RFUAV's networks take them as they are.
    normalization: str = "none"
    #: How pictures are made of IQ; None for a model trained on pictures of unknown making.
    recipe: dict[str, Any] | None = None
    #: SHA-256 of "train" and "valid": over every file's path below the tree and the SHA-256 of its bytes; of recordings,
    #: over the recipe too.
    dataset_hash: dict[str, str] = field(default_factory=dict)
    #: Pictures in "train" and "valid"; of recordings, their frames, and the recordings in "train_recordings" and "valid_recordings".
    split: dict[str, int] = field(default_factory=dict)
    seed: int | None = None
    #: Of the epoch that the weights come from, by the names of the HTTP contract.
    metrics: dict[str, float] = field(default_factory=dict)
    #: The same by signal-to-noise ratio in dB, where it was measured.
    metrics_by_snr: dict[str, dict[str, float]] | None = None
    #: Answers less likely than this (0 to 1) are called unknown; None: never.
    unknown_below: float | None = None
    #: The file described, beside the card.
    weights_file: str = "best_model.pth"
    weights_sha256: str = ""
    task_id: str = ""
    torch_version: str = ""
    project_version: str = ""
    format_version: int = FORMAT_VERSION


def sha256_of(path: Path) -> str:
    """Hash a file's content.

    Raises:
        WeightsNotFoundError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsNotFoundError(f"cannot read {path}: {error.strerror}", "Check the path of the weights.") from error


def write_model_card(path: Path, card: ModelCard) -> None:
    """Write a card atomically.

    Raises:
        OutputError: As ``write_atomically``.
    """
    write_text_atomically(path, json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n")


def read_model_card(path: Path, *, roots: DataRoots = ANYWHERE) -> ModelCard:
    """Read and check a card.

    Raises:
        ModelCardError: It is missing, too large, no JSON, of a newer format, outside ``roots``, or its fields are wrong;
            the message names which.
    """
    hint = "Use the card that was written beside the weights, or none."
    try:
        with roots.open(path) as file:
            text = file.read(MAX_CARD_BYTES + 1)
        content: Any = json.loads(text) if len(text) <= MAX_CARD_BYTES else None
    except OutsideRootsError as error:
        raise ModelCardError(error.message, hint) from error
    except OSError as error:
        raise ModelCardError(f"cannot read the model card {path}: {error.strerror}", hint) from error
    except (ValueError, RecursionError) as error:
        raise ModelCardError(f"the model card {path} is no JSON: {error}", hint) from error
    problem = _problem_in(content)
    if problem:
        raise ModelCardError(f"the model card {path} cannot be used: {problem}", hint)
    return ModelCard(**content)


def store_metrics_by_snr(
    path: Path, metrics: Mapping[str, Mapping[str, float]], *, weights_sha256: str, roots: DataRoots = ANYWHERE
) -> bool:
    """Put figures by ratio into a card; its other fields, and its figures for other ratios, stay as they are at that moment.

    Whoever else may write the card must be kept from it meanwhile.

    Returns:
        Whether that was done: a card of other weights stays as it is.

    Raises:
        ModelCardError: As ``read_model_card``.
        OutputError: As ``write_model_card``.
    """
    card = read_model_card(path, roots=roots)
    if card.weights_sha256 != weights_sha256:
        return False
    measured = {name: dict(figures) for name, figures in metrics.items()}
    write_model_card(path, replace(card, metrics_by_snr={**(card.metrics_by_snr or {}), **measured}))
    return True


def _problem_in(content: object) -> str | None:
    """Tell what is wrong with a card's content, or None."""
    if not isinstance(content, dict):
        return "it is no JSON object"
    if content.get("format_version") != FORMAT_VERSION:
        return f"format_version is {content.get('format_version')!r}, this program reads {FORMAT_VERSION}"
    known = {item.name: item for item in fields(ModelCard)}
    strangers = sorted(content.keys() - known.keys())
    if strangers:
        return f"unknown field {strangers[0]}"
    missing = sorted({"architecture", "classes", "num_classes", "image_size"} - content.keys())
    if missing:
        return f"field {missing[0]} is missing"
    wrong = [name for name, value in content.items() if not _fits(value, known[name].type)]
    if wrong:
        return f"field {wrong[0]} is {content[wrong[0]]!r}"
    return _contradiction_in(content)


def _contradiction_in(content: dict[str, Any]) -> str | None:
    """Tell which of a card's fields cannot be true together."""
    if content["architecture"] not in MODELS:
        return f"architecture {content['architecture']!r} is unknown"
    if not all(isinstance(name, str) for name in content["classes"]):
        return "classes are not all names"
    if len(content["classes"]) > content["num_classes"]:
        return f"{len(content['classes'])} classes are named, but num_classes is {content['num_classes']}"
    threshold = content.get("unknown_below")
    if threshold is not None and not 0.0 <= threshold <= 1.0:
        return f"unknown_below is {threshold}, not a probability from 0 to 1"
    return None


def _fits(value: object, annotation: Any) -> bool:
    """Check a JSON value against a field's type, down to the container."""
    if isinstance(annotation, UnionType):
        return any(_fits(value, part) for part in annotation.__args__)
    kind = NoneType if annotation is None else get_origin(annotation) or annotation
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))
