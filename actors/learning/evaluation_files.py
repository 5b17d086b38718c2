"""What an evaluation found out, and the files it is written to: ``evaluation.json``, two tables and two pictures.

Owns the meaning of the figures and the form of the files. It knows nothing of networks or noise and must not import torch.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final

from actors.files.atomic import write_atomically, write_text_atomically
from actors.learning.artifacts import confusion_png
from actors.learning.class_tree import SampleKind
from actors.learning.evaluation_chart import Curve, curves_png

EVALUATION_JSON: Final = "evaluation.json"
EVALUATION_CSV: Final = "evaluation.csv"
EVALUATION_PNG: Final = "evaluation.png"
FILES_CSV: Final = "evaluation_files.csv"
CONFUSION_PNG: Final = "confusion_matrix.png"
#: Stands for the files as they are, where a ratio would stand.
CLEAN: Final = "clean"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Score:
    """How well a network did at one ratio of signal to noise.

    Invariant: ``confusion`` counts ``frames`` frames of ``recordings`` recordings; without any, the figures are None.
    """

    #: In dB; None for the files as they are.
    snr_db: float | None
    frames: int
    #: A picture counts as a recording of one frame.
    recordings: int
    #: Recordings that are noisier by themselves, or whose own ratio cannot be measured.
    left_out: int
    #: Percent of the frames.
    accuracy: float | None
    #: Mean over the classes that occur, 0 to 1.
    macro_f1: float | None
    #: Percent of the recordings, each of the class with the greatest mean probability.
    recording_accuracy: float | None
    #: Frames by [true class][predicted class], in index order.
    confusion: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls, snr_db: float | None, confusion: Sequence[Sequence[int]], *, recordings: int, right_recordings: int, left_out: int
    ) -> "Score":
        """Work out the figures."""
        counts = tuple(tuple(int(count) for count in row) for row in confusion)
        frames = sum(map(sum, counts))
        right = sum(row[index] for index, row in enumerate(counts))
        return cls(
            snr_db=snr_db,
            frames=frames,
            recordings=recordings,
            left_out=left_out,
            accuracy=_percent(right, frames),
            macro_f1=_macro_f1(counts),
            recording_accuracy=_percent(right_recordings, recordings),
            confusion=counts,
        )

    @property
    def name(self) -> str:
        """The ratio as text."""
        return CLEAN if self.snr_db is None else f"{self.snr_db:g}"

    @property
    def metrics(self) -> dict[str, float]:
        """The figures there are, by their names."""
        named = {"accuracy": self.accuracy, "macro_f1": self.macro_f1, "recording_accuracy": self.recording_accuracy}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True, slots=True)
class EvaluatedFile:
    """What became of one file."""

    #: The path below the data, with forward slashes.
    file: str
    class_name: str
    frames: int
    #: Its own ratio in dB; None where it was not measured.
    snr_db: float | None
    #: Why it was not, where it should have been.
    snr_error: str | None
    #: Why the file could not be used.
    error: str | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The whole of it. ``scores`` begins with the files as they are, and goes on by rising ratio."""

    model: str
    classes: tuple[str, ...]
    kind: SampleKind
    files: tuple[EvaluatedFile, ...]
    scores: tuple[Score, ...]
    #: Of recordings: how pictures were made of them (in several ways where it depends on their rates), and what the noise
    #: depends on.
    recipes: tuple[Mapping[str, Any], ...] = ()
    seed: int = 0
    band_hz: float | None = None

    @property
    def failed(self) -> int:
        """Files that could not be used."""
        return sum(each.error is not None for each in self.files)

    def metrics_by_snr(self) -> dict[str, dict[str, float]]:
        """Give the figures in the form of the model card; ratios that nothing was measured at are left out."""
        return {
            score.name: score.metrics | {"frames": score.frames, "recordings": score.recordings}
            for score in self.scores
            if score.frames
        }

    def to_json(self) -> dict[str, Any]:
        """Make JSON values of it; of the files, only their numbers: there may be many."""
        return {
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "classes": list(self.classes),
            "kind": self.kind,
            "files": len(self.files),
            "failed": self.failed,
            "recipes": [dict(recipe) for recipe in self.recipes],
            "seed": self.seed,
            "band_hz": self.band_hz,
            "scores": [asdict(score) for score in self.scores],
        }


def write_evaluation(folder: Path, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write all files into a folder, each whole or not at all.

    Returns:
        The files; the JSON, which marks the end, is the last.

    Raises:
        OutputError: A file cannot be written.
        DiskFullError: There is no room for it.
    """
    content = json.dumps(evaluation.to_json(), ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    texts = {
        EVALUATION_CSV: _table(_score_rows(evaluation.scores)),
        FILES_CSV: _table(asdict(each) for each in evaluation.files),
        EVALUATION_JSON: content,
    }
    pictures = {
        EVALUATION_PNG: _curves(evaluation.scores),
        CONFUSION_PNG: confusion_png(evaluation.scores[0].confusion, evaluation.classes),
    }
    for name, picture in pictures.items():
        write_atomically(folder / name, partial(_write_all, picture))
    for name, text in texts.items():
        write_text_atomically(folder / name, text)
    return tuple(folder / name for name in (*pictures, *texts))


def _percent(part: int, whole: int) -> float | None:
    return round(100.0 * part / whole, 4) if whole else None


def _macro_f1(confusion: Sequence[Sequence[int]]) -> float | None:
    """Average the classes' F1; classes that neither occur nor are predicted have none."""
    predicted = [sum(column) for column in zip(*confusion, strict=True)]
    pairs = [(2 * row[index], sum(row) + predicted[index]) for index, row in enumerate(confusion)]
    scores = [twice / both for twice, both in pairs if both]
    return round(sum(scores) / len(scores), 6) if scores else None


def _score_rows(scores: Iterable[Score]) -> Iterable[dict[str, Any]]:
    for score in scores:
        row = asdict(score)
        del row["confusion"]
        yield row | {"snr_db": score.name}


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Write rows with a header; None becomes an empty field."""
    text, every = io.StringIO(), list(rows)
    writer = csv.DictWriter(text, fieldnames=list(every[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(every)
    return text.getvalue()


def _curves(scores: Sequence[Score]) -> bytes:
    """Draw accuracy and macro F1 over the ratio, both in percent."""
    figures = {
        "accuracy (%)": [score.accuracy for score in scores],
        "macro F1 (x 100)": [None if score.macro_f1 is None else 100 * score.macro_f1 for score in scores],
    }
    return curves_png([score.snr_db for score in scores], [Curve(name, tuple(values)) for name, values in figures.items()])


def _write_all(content: bytes, file: BinaryIO) -> None:
    file.write(content)
