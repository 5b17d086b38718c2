"""What is said about each picture, and the files it is written to.

Owns the shape of a prediction and of predictions.json and predictions.csv, which readers outside this project parse. It
knows nothing of networks and must not import torch.
"""

import csv
import io
import json
import mmap
import re
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from actors.files.atomic import write_atomically, write_text_atomically

PREDICTIONS_JSON: Final = "predictions.json"
PREDICTIONS_CSV: Final = "predictions.csv"
COLUMNS: Final = ("file", "segment", "class", "confidence", "top", "error")
#: How an entry begins in predictions.json, and nothing else: line breaks within texts are escaped, inner objects stand deeper.
_ENTRY: Final = re.compile(rb"\n \{")
#: What stands between entries and after the last one.
_BETWEEN: Final = b"], \n"
_INDEXES_KEPT: Final = 16


class PredictionFileError(ValueError):
    """A file that is not as ``write_predictions`` left it; the text names it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture.

    Invariant: either ``error`` is None and there is a class with its confidence, or ``error`` tells why there is none.
    """

    #: Path within the source, with forward slashes.
    file: str
    class_name: str | None
    #: Percent, 0 to 100.
    confidence: float | None
    #: The best classes with their confidences in percent, best first.
    top: tuple[tuple[str, float], ...] = ()
    #: Which part of a recording this is about; None for a picture.
    segment: int | None = None
    error: str | None = None


def failed_prediction(file: str, error: str) -> Prediction:
    """Make the entry of a picture that could not be read."""
    return Prediction(file=file, class_name=None, confidence=None, error=error)


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Shape a prediction as the contract names its fields."""
    return {
        "file": prediction.file,
        "segment": prediction.segment,
        "class": prediction.class_name,
        "confidence": prediction.confidence,
        "top": [{"class": name, "confidence": confidence} for name, confidence in prediction.top],
        "error": prediction.error,
    }


def write_predictions(folder: Path, predictions: Iterable[Prediction]) -> tuple[Path, Path]:
    """Write predictions.json and predictions.csv into a folder, each whole or not at all.

    Returns:
        The two files, JSON first.

    Raises:
        OutputError: A file cannot be written.
        DiskFullError: There is no room for it.
    """
    rows = [to_json(prediction) for prediction in predictions]
    json_path, csv_path = folder / PREDICTIONS_JSON, folder / PREDICTIONS_CSV
    write_text_atomically(json_path, json.dumps(rows, ensure_ascii=False, allow_nan=False, indent=1) + "\n")
    write_atomically(csv_path, lambda file: _write_csv(file, rows))
    return json_path, csv_path


def read_predictions(path: Path, first: int, count: int) -> tuple[int, list[dict[str, Any]]]:
    """Read some entries of a predictions.json, without reading the others.

    Args:
        path: the file; where its entries begin is remembered as long as it does not change.
        first: number of the first entry wanted, from 0.
        count: the most to read.

    Returns:
        How many entries the file has, and those wanted; shaped by ``to_json``, unless somebody has changed the file.

    Raises:
        PredictionFileError: It is not such a file.
        OSError: It is not there, or cannot be read.
    """
    state = path.stat()
    begins = _entry_positions(path, (state.st_ino, state.st_mtime_ns, state.st_size))
    if first >= len(begins):
        return len(begins), []
    end = begins[first + count] if first + count < len(begins) else state.st_size
    with path.open("rb") as file:
        file.seek(begins[first])
        content = file.read(end - begins[first])
    try:
        entries = json.loads(b"[" + content.rstrip(_BETWEEN) + b"]")
    except ValueError as error:
        raise PredictionFileError(f"{path.name} is no list of predictions: {error}") from None
    return len(begins), entries


@lru_cache(maxsize=_INDEXES_KEPT)
def _entry_positions(path: Path, version: tuple[int, int, int]) -> "array[int]":  # noqa: ARG001 - of the remembered answer
    """Where the entries of one version of a file begin."""
    with path.open("rb") as file:
        if file.read(1) != b"[":
            raise PredictionFileError(f"{path.name} is no list of predictions")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return array("Q", (found.start() for found in _ENTRY.finditer(content)))


def _write_csv(file: BinaryIO, rows: Iterable[dict[str, Any]]) -> None:
    """Write the same columns as a table, with the best classes as JSON text."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"top": json.dumps(row["top"], ensure_ascii=False)})
    # Detached rather than closed: the file is the caller's, who has yet to sync it.
    text.detach()
