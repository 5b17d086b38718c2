"""Shapes what a network says into what an order is answered.

Owns ``unknown``, the ranking of classes and how the times of several forward passes add up.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from actors.learning.prediction_files import Prediction, failed_prediction
from actors.learning.predictor import Predictor, in_percent
from actors.learning.recording_result import frame_prediction
from actors.online.batcher import Pass, Row
from actors.online.contents import Unit
from actors.online.orders import UNKNOWN_CLASS, Timing


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one unit: its entry, the row behind it where there is one, and how long its input took to make."""

    prediction: Prediction
    row: Row | None
    preprocess_s: float


def predict_unit(unit: Unit, row: Row, predictor: Predictor, *, top_k: int, unknown_below: float | None) -> Prediction:
    """Make the entry of a picture or frame from the network's answer."""
    (ranking,) = predictor.top(row.probabilities[None], max(1, top_k))
    top = in_percent(ranking)
    if unit.frames is not None:
        prediction = frame_prediction(unit.content.file, unit.index, unit.frames[unit.index], top=top)
    else:
        prediction = Prediction(file=unit.content.file, class_name=top[0][0], confidence=top[0][1], top=top)
    is_unknown = unknown_below is not None and ranking[0][1] < unknown_below
    return replace(prediction, class_name=UNKNOWN_CLASS) if is_unknown else prediction


def fail_unit(unit: Unit, error: str) -> Prediction:
    """Make the entry of what cannot be read."""
    if unit.frames is not None:
        return frame_prediction(unit.content.file, unit.index, unit.frames[unit.index], error=error)
    return failed_prediction(unit.content.file, error)


def sum_up(rows: Sequence[Row], preprocess_s: float) -> Timing:
    """Add up where time went; inputs that shared a pass waited and computed together, so it counts once."""
    waits: dict[Pass, float] = {}
    for row in rows:
        waits[row.shared] = max(row.queue_s, waits.get(row.shared, 0.0))
    return Timing(
        queue_s=sum(waits.values()),
        preprocess_s=preprocess_s,
        forward_s=sum(each.forward_s for each in waits),
        batch_sizes=tuple(each.size for each in waits),
    )


def rows_of(answers: Iterable[Answer]) -> list[Row]:
    """List the network's answers."""
    return [answer.row for answer in answers if answer.row is not None]
