"""What can be known to be wrong with work on recordings before it waits in line.

Reads headers of some recordings, no samples, and needs no torch. What passes here may still fail later: a recording that was not
looked at, or samples that are no numbers.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from actors.core.errors import SubmissionError
from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.learning.chosen_recipe import ChosenRecipe
from actors.learning.class_tree import ClassTree
from actors.learning.plan import RecordingChoices
from actors.learning.recording_tree import lay_out_frames, open_recordings
from actors.signals.errors import RecipeError
from actors.signals.frames import RecordingFrames, settle_recipe
from actors.signals.recording import open_recording

#: Recordings of each tree that are looked at: enough to find what is wrong with all of them, and done in a moment.
_LOOKED_AT: Final = 100
_EXAMPLE: Final = '"recipe": {"pipeline": "native", "frame_duration_s": 0.1}'


def check_recording_fields(train: ClassTree, val: ClassTree, request: Mapping[str, Any], roots: DataRoots) -> None:
    """Check that a recipe comes with recordings and with nothing else, and that it fits those that are looked at.

    Raises:
        SubmissionError: names the field, the value and the remedy.
    """
    choices = RecordingChoices.of(request)
    if train.kind == "pictures":
        _refuse_for_pictures(train, request)
    elif choices is None:
        problem = f"{train.root} holds recordings, and nothing tells how pictures are made of them"
        raise SubmissionError("recipe_missing", "recipe", problem, f"give one, for example {_EXAMPLE}")
    else:
        _check_headers({"train_path": train, "val_path": val}, choices, roots)


def check_any_usable(recordings: Sequence[Path], recipe: ChosenRecipe, request: Mapping[str, Any], roots: DataRoots) -> None:
    """Check that frames can be made of one at least of those that are looked at; one that cannot be used spoils no others.

    Raises:
        WorkError: Of none; as opening the first and laying out its frames raises it.
    """
    failures = []
    for path in recordings[:_LOOKED_AT]:
        try:
            recording = open_recording(
                path,
                sample_rate=request.get("sample_rate"),
                center_frequency=request.get("center_frequency"),
                datatype=request.get("format"),
                roots=roots,
            )
            RecordingFrames(recording, recipe.at(recording.sample_rate))
        except WorkError as error:
            failures.append(error)
        else:
            return
    if len(failures) == len(recordings):
        raise failures[0]


def _refuse_for_pictures(train: ClassTree, request: Mapping[str, Any]) -> None:
    for field in ("recipe", "augmentation"):
        if request.get(field) is not None:
            problem = f"{train.root} holds pictures, and {field} is for recordings"
            raise SubmissionError("recordings_expected", field, problem, "leave it out, or give folders of recordings")


def _check_headers(trees: Mapping[str, ClassTree], choices: RecordingChoices, roots: DataRoots) -> None:
    opened = {}
    for field, tree in trees.items():
        with _blamed(field):
            opened[field] = open_recordings(tree, choices, most=_LOOKED_AT, roots=roots)
    with _blamed("recipe"):
        recipe = settle_recipe(choices.recipe, [recording for each in opened.values() for recording in each.values()])
    for field, tree in trees.items():
        with _blamed(field):
            lay_out_frames(tree, opened[field], recipe)


@contextmanager
def _blamed(field: str) -> Iterator[None]:
    """Make what fails in the block the fault of one field, unless it is the recipe's."""
    try:
        yield
    except WorkError as error:
        at_fault = "recipe" if isinstance(error, RecipeError) else field
        raise SubmissionError(error.code, at_fault, error.message, error.hint) from None
