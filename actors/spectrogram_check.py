"""What can be known to be wrong with a spectrogram task before it waits in line. Must not import torch.

Owns how many headers are read for that, and which field is to blame. A broken file among those that are looked at is refused
here, where it costs the user seconds; one that only the running task finds is an entry of its manifest, where refusing it would
cost hours.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from actors.core.errors import SubmissionError
from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.preprocessing.plan import RecordingHints
from actors.preprocessing.recording_survey import Survey, list_recordings, open_recordings
from actors.signals.errors import RecordingTooShortError, SampleRateError
from actors.signals.frames import settle_recipe

#: Headers that are read before an answer: some tenths of a second.
MOST_HEADERS: Final = 64


def check_recordings(source: Path, request: Mapping[str, Any], roots: DataRoots) -> None:
    """Check that the recordings can be read and that the recipe fits them.

    Args:
        source: A recording or a folder of them, resolved.
        request: Of a spectrogram task.
        roots: Where all files must lie.

    Raises:
        SubmissionError: names the field, the value and the remedy.
    """
    try:
        tree = list_recordings(source, roots=roots)
    except WorkError as error:
        raise _refusal("input_path", error) from None
    hints = RecordingHints(request["sample_rate"], request["center_frequency"], request["format"])
    survey = open_recordings(tree, hints, roots=roots, step=-(-len(tree.names) // MOST_HEADERS))
    for failure in survey.failures.values():
        raise _refusal("sample_rate" if isinstance(failure, SampleRateError) else "input_path", failure)
    _check_recipe(survey, request["recipe"])


def _check_recipe(survey: Survey, choices: Mapping[str, Any]) -> None:
    """Check that the recipe can be used on the recordings. Some may be too short for it, if not all that are known are."""
    try:
        survey.lay_out(settle_recipe(choices, survey.opened.values()))
    except WorkError as error:
        raise _refusal("recipe", error) from None
    for failure in survey.failures.values():
        if not isinstance(failure, RecordingTooShortError):
            raise _refusal("recipe", failure)


def _refusal(field: str, error: WorkError) -> SubmissionError:
    return SubmissionError(error.code, field, error.message, error.hint)
