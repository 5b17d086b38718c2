"""The figures of a training on disk: ``metrics.csv`` and ``confusion_matrix.json``, written after every epoch.

Owns the form of both files, for those who write them and those who read them. It knows nothing of networks and must not import
torch.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

METRICS_CSV: Final = "metrics.csv"
CONFUSION_JSON: Final = "confusion_matrix.json"
#: Columns that count; all others are measured.
_COUNTED: Final = frozenset({"epoch", "total_epochs"})


class HistoryFileError(ValueError):
    """A file that was not written by a training, or was changed since; the text names it."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How the validation pictures were taken for each other: rows are true classes, columns predicted ones.

    Invariant: ``counts`` is square, with one row for each label.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    #: The epoch that was validated; the last one so far.
    epoch: int


def metrics_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Write the metrics of every epoch as a table with a header."""
    text = io.StringIO()
    if history:
        writer = csv.DictWriter(text, fieldnames=list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(history)
    return text.getvalue()


def read_metrics(path: Path) -> dict[str, list[float]]:
    """Read the metrics of every epoch as columns, oldest epoch first; none where the file is empty.

    Raises:
        HistoryFileError: It is not such a table.
        OSError: It is not there, or cannot be read.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
        names, columns = rows[0] if rows else [], list(zip(*rows[1:], strict=True))
        return {
            name: [_number(name, value) for value in column]
            for name, column in zip(names, columns or [()] * len(names), strict=True)
        }
    except (ValueError, csv.Error) as error:
        raise HistoryFileError(f"{path.name} is no table of metrics: {error}") from None


def confusion_json(counts: Sequence[Sequence[int]], names: Sequence[str], epoch: int) -> str:
    """Write a confusion matrix; outputs of the network beyond the named classes are labelled by their number."""
    labels = [*names, *(f"#{index}" for index in range(len(names), len(counts)))]
    return json.dumps({"epoch": epoch, "labels": labels, "counts": [list(row) for row in counts]}, ensure_ascii=False) + "\n"


def read_confusion(path: Path) -> Confusion:
    """Read a confusion matrix.

    Raises:
        HistoryFileError: It is none.
        OSError: It is not there, or cannot be read.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        counts = tuple(tuple(map(int, row)) for row in content["counts"])
        found = Confusion(tuple(map(str, content["labels"])), counts, int(content["epoch"]))
    except (ValueError, TypeError, KeyError) as error:
        raise HistoryFileError(f"{path.name} is no confusion matrix: {error}") from None
    if any(len(row) != len(found.labels) for row in (found.counts, *found.counts)):
        raise HistoryFileError(f"{path.name} is no confusion matrix: it is not square")
    return found


def _number(name: str, text: str) -> float:
    return int(float(text)) if name in _COUNTED else float(text)
