"""What can be known to be wrong with a preprocessing task before it waits in line.

Of pictures only the names are looked at; of recordings the headers and metadata, of a bounded number of them. It must not import torch.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from actors.core.errors import SubmissionError
from actors.core.tasks import DISK_NOTE, PreprocessingType, Submission
from actors.disk_check import DiskNeed, check_copies_room
from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.paths import resolve_existing, resolve_inside
from actors.preprocessing.sources import SourceTree, list_dataset, list_file, list_tree, refuse_output_within

Found = TypeVar("Found")


def check_preprocessing(submission: Submission, roots: DataRoots) -> dict[str, str]:
    """Check the paths of a preprocessing task; returns its input, resolved, by the field's name.

    Raises:
        SubmissionError: names the field, the value and the remedy.
    """
    if submission.task_type == PreprocessingType.SPECTROGRAM:
        return _check_spectrogram(submission, roots)
    if submission.task_type not in _INPUTS:
        raise SubmissionError("unknown_work", "task_type", f"{submission.task_type!r} cannot be run", "see the routes")
    field, look = _INPUTS[submission.task_type]
    source = resolve_existing(submission.request[field], field, roots)
    output = resolve_inside(submission.output_path, "output_path", roots)
    _blame("output_path", lambda: refuse_output_within(source, output, source_field=field))
    tree = _blame(field, lambda: look(source, roots))
    need = _copies_need(submission, tree)
    note = check_copies_room(need, output) if need is not None else ""
    return {field: str(source)} | ({DISK_NOTE: note} if note else {})


def _copies_need(submission: Submission, tree: SourceTree) -> DiskNeed | None:
    """Estimate what a task writes that copies its pictures; None where that shows only when they are opened, or nothing is copied."""
    size = sum(file.size_bytes for file in tree.files)
    if submission.task_type == PreprocessingType.SPLIT and submission.request.get("files") != "link":
        return DiskNeed(size, size)
    if submission.task_type == PreprocessingType.AUGMENT:
        # Each picture as it is, and once changed by each method, which makes files of about its size.
        return DiskNeed(size, size * (1 + len(submission.request.get("methods", ()))))
    return None


def _check_spectrogram(submission: Submission, roots: DataRoots) -> dict[str, str]:
    """Check a spectrogram task. What reads recordings takes a second to load, and other tasks do not need it."""
    from actors.spectrogram_check import check_recordings  # noqa: PLC0415

    source = resolve_existing(submission.request["input_path"], "input_path", roots)
    output = resolve_inside(submission.output_path, "output_path", roots)
    if source.is_dir():
        _blame("output_path", lambda: refuse_output_within(source, output, source_field="input_path"))
    check_recordings(source, submission.request, roots)
    return {"input_path": str(source)}


def _blame(field: str, check: Callable[[], Found]) -> Found:
    """Run a check whose failure is the fault of one field; returns what it found."""
    try:
        return check()
    except WorkError as error:
        raise SubmissionError(error.code, field, error.message, error.hint) from None


def _look_for_classes(folder: Path, roots: DataRoots) -> SourceTree:
    return list_tree(folder, depth=1, roots=roots)


def _look_for_dataset(folder: Path, roots: DataRoots) -> SourceTree:
    return list_dataset(folder, roots=roots)


def _look_for_pictures(source: Path, roots: DataRoots) -> SourceTree:
    return list_tree(source, roots=roots) if source.is_dir() else list_file(source)


#: The field of each kind's input, and what must be found there.
_INPUTS: Mapping[str, tuple[str, Callable[[Path, DataRoots], SourceTree]]] = {
    PreprocessingType.SPLIT: ("input_path", _look_for_classes),
    PreprocessingType.AUGMENT: ("dataset_path", _look_for_dataset),
    PreprocessingType.CROP: ("input_path", _look_for_pictures),
}
