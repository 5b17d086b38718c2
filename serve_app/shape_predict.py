"""Predictions as answers: pure functions from the predictor's answer to what the contract says.

Built of plain dictionaries rather than of models: a model for each row would cost more than everything else that the ingress does.
"""

from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from actors.learning.prediction_files import FileSummary, Prediction, summary_to_json, to_json
from actors.online.orders import UNKNOWN_CLASS, Content, PredictAnswer, PredictOrder, SpectrogramPicture

_DIGITS: Final = 3


def predict_response(
    order: PredictOrder, answer: PredictAnswer, *, top_k: int, is_cached: bool, total_s: float
) -> Mapping[str, Any]:
    """The whole answer, as ``PredictResponse`` describes it.

    Args:
        order: what was asked; of recordings it asks for all classes, which their summaries are made of.
        answer: the predictor's.
        top_k: how many classes the caller wants to see.
        is_cached: whether it was computed before.
        total_s: from the request's arrival until now.
    """
    recordings = {content.file for content in order.contents if content.kind == "recording"}
    timing = answer.timing
    return {
        "model": answer.name,
        "version": answer.version,
        "device": answer.device,
        "simulated": answer.simulated,
        "precision": answer.precision.value,
        "cached": is_cached,
        "predictions": [to_json(_shown(row, top_k, order.contents)) for row in answer.predictions],
        "summary": [summary_to_json(each) for each in _summaries(order, answer, recordings, top_k)] if recordings else [],
        "spectrograms": [_spectrogram(each) for each in answer.spectrograms],
        "timing": {
            "queue_ms": _ms(timing.queue_s),
            "preprocess_ms": _ms(timing.preprocess_s),
            "forward_ms": _ms(timing.forward_s),
            "total_ms": _ms(total_s),
            "batch_sizes": list(timing.batch_sizes),
        },
    }


def as_sent(text: str, contents: Sequence[Content]) -> str:
    """A text about files, without the folder that they lay in while they were predicted."""
    for folder in {content.path.parent for content in contents if content.path is not None}:
        text = text.replace(f"{folder}/", "")
    return text


def _spectrogram(picture: SpectrogramPicture) -> Mapping[str, Any]:
    return {
        "file": picture.file,
        "png_base64": b64encode(picture.png).decode(),
        "width": picture.width,
        "height": picture.height,
        "duration_s": picture.duration_s,
        "center_frequency": picture.center_frequency,
        "sample_rate": picture.sample_rate,
    }


def _shown(row: Prediction, top_k: int, contents: Sequence[Content]) -> Prediction:
    """A row as its caller wants it."""
    if row.error is not None:
        row = replace(row, error=as_sent(row.error, contents))
    return row if len(row.top) <= top_k else replace(row, top=row.top[:top_k])


def _summaries(order: PredictOrder, answer: PredictAnswer, recordings: set[str], top_k: int) -> Iterable[FileSummary]:
    """A summary for each recording, in the order of the answer."""
    for file, rows in groupby(answer.predictions, key=lambda row: row.file):
        if file in recordings:
            yield summarise(
                file,
                [_shown(row, len(row.top), order.contents) for row in rows],
                top_k=top_k,
                unknown_below=answer.unknown_below,
            )


def summarise(file: str, rows: Sequence[Prediction], *, top_k: int, unknown_below: float | None) -> FileSummary:
    """Tell the class of the greatest mean confidence over frames that each tell all classes.

    Args:
        file: how it is named.
        rows: its frames.
        top_k: how many classes are told.
        unknown_below: the mean probability below which the class is called unknown; None for never.
    """
    answered = [row for row in rows if row.error is None]
    errors = [row.error for row in rows if row.error is not None]
    sums: defaultdict[str, float] = defaultdict(float)
    for row in answered:
        for name, confidence in row.top:
            sums[name] += confidence
    best = sorted(sums.items(), key=lambda each: -each[1])[:top_k]
    top = tuple((name, total / len(answered)) for name, total in best)
    is_unknown = unknown_below is not None and bool(top) and top[0][1] < 100 * unknown_below
    return FileSummary(
        file=file,
        class_name=UNKNOWN_CLASS if is_unknown else top[0][0] if top else None,
        confidence=top[0][1] if top else None,
        top=top,
        frames=len(answered),
        seconds=max(((row.start_s or 0.0) + (row.duration_s or 0.0) for row in rows if row.start_s is not None), default=None),
        frames_per_class=tuple(Counter(row.class_name for row in answered if row.class_name is not None).most_common()),
        error=_told(errors, len(rows)),
    )


def _told(errors: Sequence[str], count: int) -> str | None:
    """One sentence for all errors of a file."""
    if not errors:
        return None
    return errors[0] if len(errors) == count else f"{len(errors)} of {count} frames have no answer; the first: {errors[0]}"


def _ms(seconds: float) -> float:
    return round(1000 * seconds, _DIGITS)
