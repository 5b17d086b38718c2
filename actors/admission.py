"""What can be known to be wrong with a submission before it waits in line.

Checks paths, data sets and model names against this machine, without torch, and returns the submission with its paths resolved. What
passes here may still fail later (a picture that cannot be read, weights of another head); what fails here never becomes a task.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from actors.core.errors import LineFullError, SubmissionError
from actors.core.model import WorkKind
from actors.core.tasks import DISK_NOTE, EVALUATE, MEMORY_NOTE, REGISTERED_MODEL, Submission, Task
from actors.disk_check import check_training_room, decoded_bytes
from actors.evaluation_check import check_evaluation
from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.learning.catalog import MODELS, check_image_size
from actors.learning.checkpoint_list import find_checkpoint
from actors.learning.chosen_recipe import RecipeMissingError, choose_recipe
from actors.learning.class_tree import ClassTree, scan_class_folders
from actors.learning.classify_config import load_classify_config
from actors.learning.errors import ConfigError, WeightsNotFoundError
from actors.learning.inference_sources import find_sources
from actors.learning.memory_need import NeedEstimator
from actors.learning.plan import RESUME_STATE
from actors.memory_check import check_need
from actors.paths import find_model_files, resolve_existing, resolve_file, resolve_inside
from actors.preprocessing_check import check_preprocessing
from actors.recording_check import check_any_usable, check_recording_fields
from actors.signals.errors import RecipeError, SampleRateError

#: The field of an inference that an error is about, where that is not its source.
_FIELD_OF: Final = {
    ConfigError.code: "cfg_path",
    RecipeMissingError.code: "recipe",
    RecipeError.code: "recipe",
    SampleRateError.code: "sample_rate",
    WeightsNotFoundError.code: "weight_path",
}


def check_room(submission: Submission, waiting: Sequence[Task], most: int) -> None:
    """Refuse what finds the line full. A batch is one entry of it, however many sources it has.

    Raises:
        LineFullError: ``most`` tasks and batches wait, and the submission belongs to none of them.
    """
    entries = {task.submission.batch_id or task.task_id for task in waiting}
    if len(entries) >= most and (submission.batch_id or submission.task_id) not in entries:
        reason = f"{len(entries)} tasks are waiting, which is the most that TASK_QUEUE_SIZE allows; try again later"
        raise LineFullError(submission.task_id, reason)


class Admission:
    """The check at the door, with the data roots it allows. Blocking: call it in a thread."""

    def __init__(
        self,
        roots: Sequence[Path] | DataRoots,
        needs: NeedEstimator | None = None,
        *,
        model_roots: DataRoots | None = None,
        picture_cache_bytes: int = 2 << 30,
    ) -> None:
        """Take the bounds.

        Args:
            roots: where requests may read and write.
            needs: what trainings were measured to need.
            model_roots: the same with the files of registered models.
            picture_cache_bytes: how much memory the decoded pictures of a training may take; more lies on the disk.
        """
        self._picture_cache_bytes = picture_cache_bytes
        self._roots = roots if isinstance(roots, DataRoots) else DataRoots.of(roots)
        self._model_roots = model_roots or self._roots
        self._needs = needs or NeedEstimator()
        self._checks: Mapping[WorkKind, Callable[[Submission], dict[str, str]]] = {
            WorkKind.TRAINING: self._check_training,
            WorkKind.INFERENCE: self._check_predicting,
            WorkKind.PREPROCESSING: lambda submission: check_preprocessing(submission, self._roots),
        }

    def check(self, submission: Submission) -> Submission:
        """Return the submission with every path resolved.

        Raises:
            SubmissionError: names the field, the value and the remedy.
        """
        check = self._checks.get(submission.work)
        if check is None:
            raise SubmissionError("unknown_work", "task_type", f"{submission.task_type!r} cannot be run", "see the routes")
        resolved = check(submission)
        resolved["output"] = str(self._output(submission))
        if REGISTERED_MODEL in submission.resolved:
            resolved[REGISTERED_MODEL] = submission.resolved[REGISTERED_MODEL]
        return replace(submission, resolved=resolved)

    def check_memory(self, submission: Submission, device_bytes: int | None = None) -> Submission:
        """Return a checked submission with a note of warning, where its memory may not be enough.

        Args:
            submission: as ``check`` returned it.
            device_bytes: the memory of the largest device that it may run on, where known.

        Raises:
            SubmissionError: such work was measured to need more.
        """
        note = check_need(submission, self._needs, device_bytes=device_bytes)
        return replace(submission, resolved={**submission.resolved, MEMORY_NOTE: note}) if note else submission

    def find_checkpoint(self, earlier: Task | None, task_id: str) -> str:
        """The checkpoint that an earlier training left, for a new one to continue from.

        Raises:
            SubmissionError: there is no such training, it has not ended, or it left none: another one may have trained anew in its folder.
        """
        if earlier is None or earlier.submission.work is not WorkKind.TRAINING:
            raise SubmissionError("unknown_task", "resume_from", f"{task_id!r} is no training", "give the task_id of a training")
        if not earlier.state.is_final:
            raise SubmissionError("task_not_ended", "resume_from", f"{task_id!r} has not ended yet", "stop it, or wait for its end")
        checkpoint = find_checkpoint(Path(earlier.submission.resolved["output"]), task_id)
        if checkpoint is None:
            raise SubmissionError("no_checkpoint", "resume_from", f"{task_id!r} left no {RESUME_STATE}", "train from the beginning")
        return str(resolve_file(str(checkpoint), "resume_from", self._roots))

    def _check_training(self, submission: Submission) -> dict[str, str]:
        request = submission.request
        _check_model(request["model"], request["image_size"])
        train = resolve_existing(request["train_path"], "train_path", self._roots)
        valid = resolve_existing(request["val_path"], "val_path", self._roots)
        trees = _scan(train, "train_path", self._roots), _scan(valid, "val_path", self._roots)
        _check_classes(*trees, request["num_classes"])
        check_recording_fields(*trees, request, self._roots)
        resolved = {"train_path": str(train), "val_path": str(valid), "weight_path": ""}
        if request.get("weight_path"):
            resolved["weight_path"] = str(resolve_file(request["weight_path"], "weight_path", self._roots))
        on_disk = decoded_bytes(trees, request, self._picture_cache_bytes)
        note = check_training_room(request, self._output(submission), on_disk)
        return resolved | ({DISK_NOTE: note} if note else {})

    def _check_predicting(self, submission: Submission) -> dict[str, str]:
        is_evaluation = submission.task_type == EVALUATE
        if is_evaluation:
            return check_evaluation(submission, self._roots, model_roots=self._model_roots)
        return self._check_inference(submission)

    def _check_inference(self, submission: Submission) -> dict[str, str]:
        request = submission.request
        resolved, roots = find_model_files(submission, self._roots, self._model_roots)
        resolved["source_path"] = resolve_existing(request["source_path"], "source_path", self._roots)
        try:
            config = load_classify_config(resolved["cfg_path"], roots=roots)
            sources = find_sources(resolved["source_path"], is_typed=bool(request.get("format")), roots=self._roots)
            if sources.recordings:
                recipe = choose_recipe(request.get("recipe"), config, resolved["weight_path"], roots=roots)
                check_any_usable(sources.recordings, recipe, request, self._roots)
        except WorkError as error:
            raise SubmissionError(error.code, _FIELD_OF.get(error.code, "source_path"), error.message, error.hint) from None
        return {field: str(path) for field, path in resolved.items()}

    def _output(self, submission: Submission) -> Path:
        field = "output_path" if submission.work is WorkKind.PREPROCESSING else "save_path"
        given = submission.output_path
        path = resolve_inside(given, field, self._roots)
        try:
            is_taken = not next(each for each in (path, *path.parents) if each.exists()).is_dir()
        except OSError as error:
            raise SubmissionError("invalid_path", field, f"{given!r}: {error.strerror}", "choose another folder") from None
        if is_taken:
            raise SubmissionError("invalid_path", field, f"{given!r} is a file or lies below one", "name a folder")
        return path


def _check_model(model: str, image_size: int) -> None:
    if model not in MODELS:
        near = get_close_matches(model, MODELS, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "GET /api/v1/info lists the supported models"
        raise SubmissionError("unknown_model", "model", f"{model!r} is not a supported model", hint)
    impossible = check_image_size(model, image_size)
    if impossible:
        raise SubmissionError("invalid_image_size", "image_size", impossible, "change image_size or the model")


def _scan(root: Path, field: str, roots: DataRoots) -> ClassTree:
    try:
        return scan_class_folders(root, roots=roots)
    except WorkError as error:
        raise SubmissionError(error.code, field, error.message, error.hint) from None


def _check_classes(train: ClassTree, valid: ClassTree, num_classes: int) -> None:
    found = len(train.classes)
    if num_classes < found:
        hint = f"set num_classes to {found}, or remove folders"
        raise SubmissionError("too_few_classes", "num_classes", f"{num_classes} is fewer than the {found} class folders", hint)
    try:
        valid.require_kind(train.kind)
        valid.indexed_as(train.classes)
    except WorkError as error:
        raise SubmissionError(error.code, "val_path", error.message, error.hint) from None
