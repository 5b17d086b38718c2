"""What is said about each picture, each frame of a recording and each file, and the files it is written to.

Owns the shape of predictions and summaries and of predictions.json, summary.json and their tables, which readers outside this
project parse. It knows nothing of networks and must not import torch.
"""

import csv
import io
import json
import mmap
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from actors.files.atomic import write_atomically

PREDICTIONS_JSON: Final = "predictions.json"
PREDICTIONS_CSV: Final = "predictions.csv"
SUMMARY_JSON: Final = "summary.json"
SUMMARY_CSV: Final = "summary.csv"
#: Those of the origin's contract first, so that who reads them by position goes on to.
COLUMNS: Final = ("file", "segment", "class", "confidence", "top", "error", "start_s", "duration_s")
SUMMARY_COLUMNS: Final = ("file", "class", "confidence", "top", "frames", "seconds", "frames_per_class", "error")
#: How an entry begins in predictions.json, and nothing else: line breaks within texts are escaped, inner objects stand deeper.
_ENTRY: Final = re.compile(rb"\n \{")
#: What stands between entries and after the last one.
_BETWEEN: Final = b"], \n"
_INDEXES_KEPT: Final = 16


class PredictionFileError(ValueError):
    """A file that is not as it was written here; the text names it."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The answer for one picture, or one frame of a recording.

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
    #: Where in its recording the frame begins, and how long it is; None for a picture.
    start_s: float | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class FileSummary:
    """The answer for a whole file: the class of the greatest mean probability over its frames. A picture is one frame.

    Invariant: there is a class with its confidence unless no frame could be predicted; ``error`` tells of all that could not.
    """

    file: str
    class_name: str | None
    #: Percent, 0 to 100.
    confidence: float | None
    #: The best classes with their mean confidences in percent, best first.
    top: tuple[tuple[str, float], ...] = ()
    #: Frames that were predicted.
    frames: int = 0
    #: Of the whole recording; None for a picture, and for a recording that could not be opened.
    seconds: float | None = None
    #: How many frames each class was the best of; classes that were it of none are left out.
    frames_per_class: tuple[tuple[str, int], ...] = ()
    error: str | None = None


def failed_prediction(file: str, error: str) -> Prediction:
    """Make the entry of a file that could not be read."""
    return Prediction(file=file, class_name=None, confidence=None, error=error)


def summary_of_picture(answer: Prediction) -> FileSummary:
    """Tell of a picture what its one prediction tells."""
    best = () if answer.class_name is None else ((answer.class_name, 1),)
    return FileSummary(
        answer.file, answer.class_name, answer.confidence, answer.top, len(best), frames_per_class=best, error=answer.error
    )


def to_json(prediction: Prediction) -> dict[str, Any]:
    """Shape a prediction as the contract names its fields."""
    return {
        "file": prediction.file,
        "segment": prediction.segment,
        "class": prediction.class_name,
        "confidence": prediction.confidence,
        "top": _top_json(prediction.top),
        "error": prediction.error,
        "start_s": prediction.start_s,
        "duration_s": prediction.duration_s,
    }


def summary_to_json(summary: FileSummary) -> dict[str, Any]:
    """Shape a summary as the contract names its fields."""
    return {
        "file": summary.file,
        "class": summary.class_name,
        "confidence": summary.confidence,
        "top": _top_json(summary.top),
        "frames": summary.frames,
        "seconds": summary.seconds,
        "frames_per_class": dict(summary.frames_per_class),
        "error": summary.error,
    }


def write_predictions(folder: Path, predictions: Sequence[Prediction]) -> tuple[Path, Path]:
    """Write predictions.json and predictions.csv into a folder, each whole or not at all.

    Returns:
        The two files, JSON first.

    Raises:
        OutputError: A file cannot be written.
        DiskFullError: There is no room for it.
    """
    json_path, csv_path = folder / PREDICTIONS_JSON, folder / PREDICTIONS_CSV
    write_atomically(json_path, lambda file: _write_json(file, map(to_json, predictions)))
    write_atomically(csv_path, lambda file: _write_csv(file, COLUMNS, map(to_json, predictions)))
    return json_path, csv_path


def write_summaries(folder: Path, summaries: Sequence[FileSummary]) -> tuple[Path, Path]:
    """Write summary.json and summary.csv into a folder, as ``write_predictions`` does, with the same errors."""
    json_path, csv_path = folder / SUMMARY_JSON, folder / SUMMARY_CSV
    write_atomically(json_path, lambda file: _write_json(file, map(summary_to_json, summaries)))
    write_atomically(csv_path, lambda file: _write_csv(file, SUMMARY_COLUMNS, map(summary_to_json, summaries)))
    return json_path, csv_path


def read_predictions(path: Path, first: int, count: int) -> tuple[int, list[dict[str, Any]]]:
    """Read some entries of a predictions.json or a summary.json, without reading the others.

    Args:
        path: the file; where its entries begin is remembered as long as it does not change.
        first: number of the first entry wanted, from 0.
        count: the most to read.

    Returns:
        How many entries the file has, and those wanted; shaped as they were written, unless somebody has changed the file.

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


def _top_json(top: Iterable[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"class": name, "confidence": confidence} for name, confidence in top]


def _write_json(file: BinaryIO, rows: Iterable[dict[str, Any]]) -> None:
    """Write a list with an indent of 1, one entry after the other: of a long recording there may be hundreds of thousands."""
    separator = b""
    file.write(b"[")
    for row in rows:
        # The text of a list of one, without its brackets, is that of the entry in a list of many.
        text = json.dumps([row], ensure_ascii=False, allow_nan=False, indent=1)
        file.write(separator + text[1:-2].encode("utf-8"))
        separator = b","
    file.write(b"\n]\n" if separator else b"]\n")


def _write_csv(file: BinaryIO, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    """Write the same columns as a table; what is a list or an object there is JSON text here."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    for row in rows:
        inner = {name: json.dumps(row[name], ensure_ascii=False) for name in ("top", "frames_per_class") if name in row}
        writer.writerow(row | inner)
    # Detached rather than closed: the file is the caller's, who has yet to sync it.
    text.detach()
