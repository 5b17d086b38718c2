"""What is said about each picture, and the files it is written to.

Owns the shape of a prediction and of predictions.json and predictions.csv, which readers outside this project parse. It
knows nothing of networks and must not import torch.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from actors.learning.files import write_atomically, write_text_atomically

PREDICTIONS_JSON: Final = "predictions.json"
PREDICTIONS_CSV: Final = "predictions.csv"
COLUMNS: Final = ("file", "segment", "class", "confidence", "top", "error")


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


def _write_csv(file: BinaryIO, rows: Iterable[dict[str, Any]]) -> None:
    """Write the same columns as a table, with the best classes as JSON text."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"top": json.dumps(row["top"], ensure_ascii=False)})
    # Detached rather than closed: the file is the caller's, who has yet to sync it.
    text.detach()
