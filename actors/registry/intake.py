"""What becomes of a wish to register: files are copied in, and all that will ever be said of the version is put together.

Owns what is read of a training's output folder and of a user's files, and how they must agree. Nothing outside the data roots is read. It
gives no version numbers and must not import torch: whether the weights fit the network is found out by a replica that loads them.
"""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any, Final

import yaml

from actors.core.errors import StoreUnavailableError, SubmissionError
from actors.core.model import WorkKind
from actors.core.tasks import Task, TaskState
from actors.files.data_roots import DataRoots
from actors.files.errors import OutputError, WorkError
from actors.learning.catalog import MODELS
from actors.learning.chosen_recipe import RecipeMissingError, choose_recipe
from actors.learning.classify_config import ClassifyConfig, contradictions_with_card, load_classify_config
from actors.learning.errors import ConfigError, ModelCardError
from actors.learning.history_files import METRICS_CSV, HistoryFileError, read_metrics
from actors.learning.model_card import CARD_FILE, ModelCard, read_model_card
from actors.paths import resolve_file
from actors.registry.files import ModelFiles, StagedFile
from actors.registry.golden import encode_golden, golden_inputs
from actors.registry.records import Lineage, ModelVersion, RegisterModel, ServedVersion, is_model_name

#: As a training writes it beside its weights.
_CONFIG_FILE: Final = "config.yaml"


@dataclass(frozen=True, slots=True)
class Draft:
    """A version without a number, and the files that it needs; they lie under passing names until they are kept."""

    version: ModelVersion
    staged: tuple[StagedFile, ...]


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where the parts of a version are found.

    Attributes:
        cfg_path: the configuration, inside the data roots.
        weight_path: the weights, inside the data roots.
        fields: the request's fields that errors about the two are about.
        lineage: where it comes from, but for the data's hash.
        task_id: of the training whose weights they must be; "" for anybody's.
        pictures: a tree of pictures that the network was validated on; None where there is none.
    """

    cfg_path: Path
    weight_path: Path
    fields: tuple[str, str]
    lineage: Lineage
    task_id: str = ""
    pictures: Path | None = None


class Intake:
    """Makes drafts. Blocking: call it in a thread."""

    def __init__(self, roots: DataRoots, files: ModelFiles) -> None:
        self._roots = roots
        self._files = files

    def draft(self, wish: RegisterModel, task: Task | None, *, now: float) -> Draft:
        """Copy what a wish names, and describe it.

        Args:
            wish: of a training, or of files.
            task: the one that the wish names; None for files.
            now: seconds since the epoch.

        Raises:
            SubmissionError: names the field, the value and the remedy.
            StoreUnavailableError: there is no room for the files.
        """
        if not is_model_name(wish.name):
            told = "letters, digits, dots, hyphens and underscores, at most 64, no dot first"
            raise SubmissionError("invalid_name", "name", f"{wish.name!r} is no model's name", f"use {told}")
        origin = self._of_files(wish) if task is None else self._of_training(task)
        staged: list[StagedFile] = []
        try:
            return Draft(self._describe(wish, origin, staged, now=now), tuple(staged))
        except BaseException as error:
            for each in staged:
                self._files.discard(each)
            if isinstance(error, OutputError):
                raise StoreUnavailableError(str(error)) from error
            if isinstance(error, WorkError):
                raise _as_submission_error(error, origin.fields) from None
            raise

    def _of_files(self, wish: RegisterModel) -> _Origin:
        return _Origin(
            cfg_path=resolve_file(wish.cfg_path, "cfg_path", self._roots),
            weight_path=resolve_file(wish.weight_path, "weight_path", self._roots),
            fields=("cfg_path", "weight_path"),
            lineage=Lineage(),
        )

    def _of_training(self, task: Task) -> _Origin:
        """Find what a training left. Raises SubmissionError where it is none, has not completed, or its files are gone."""
        submission, task_id = task.submission, task.task_id
        if submission.work is not WorkKind.TRAINING:
            raise SubmissionError("unknown_task", "task_id", f"{task_id!r} is no training", "give the task_id of a training")
        if task.state is not TaskState.COMPLETED:
            remedy = "wait for its end; weights of one that was stopped can be registered by cfg_path and weight_path"
            raise SubmissionError("task_not_completed", "task_id", f"training {task_id!r} is {task.state}", remedy)
        output = Path(submission.resolved["output"])
        return _Origin(
            cfg_path=resolve_file(str(output / _CONFIG_FILE), "task_id", self._roots),
            weight_path=resolve_file(str(output / self._weights_name(output)), "task_id", self._roots),
            fields=("task_id", "task_id"),
            lineage=Lineage(task_id, {}, _parent_of(task.request), dict(task.request), self._curves(output)),
            task_id=task_id,
            pictures=Path(submission.resolved["val_path"]),
        )

    def _weights_name(self, output: Path) -> str:
        """The file that the card in an output folder is about."""
        try:
            return Path(read_model_card(output / CARD_FILE, roots=self._roots).weights_file).name
        except ModelCardError as error:
            raise SubmissionError("output_changed", "task_id", error.message, "register the weights by their path") from None

    def _curves(self, output: Path) -> dict[str, tuple[float | None, ...]]:
        """The history of a training; nothing where it is gone, since the weights do not need it."""
        with suppress(SubmissionError, HistoryFileError, OSError):
            columns = read_metrics(resolve_file(str(output / METRICS_CSV), "task_id", self._roots))
            return {name: tuple(value if isfinite(value) else None for value in column) for name, column in columns.items()}
        return {}

    def _describe(self, wish: RegisterModel, origin: _Origin, staged: list[StagedFile], *, now: float) -> ModelVersion:
        """Put a version together; its files are added to ``staged`` as they come in."""
        config = load_classify_config(origin.cfg_path, roots=self._roots)
        weights = self._stage_weights(origin)
        staged.append(weights)
        card, warnings = self._card(config, origin, weights)
        recipe, more = self._recipe(config, origin)
        inputs = golden_inputs(config.image_size, origin.pictures, self._roots)
        staged.append(golden := self._files.stage(io.BytesIO(encode_golden(inputs)), ".npz"))
        staged.append(rules := self._files.stage(io.BytesIO(_config_text(config, recipe)), ".yaml"))
        served = ServedVersion(
            name=wish.name,
            version=0,
            weights_path=str(self._files.final_path(weights)),
            weights_sha256=weights.sha256,
            architecture=config.model,
            class_names=config.class_names,
            image_size=config.image_size,
            recipe=recipe,
            unknown_below=wish.unknown_below if wish.unknown_below is not None else card.unknown_below,
            wish=wish.wish,
            golden_path=str(self._files.final_path(golden)),
        )
        return ModelVersion(
            served=served,
            created_at=now,
            size_bytes=weights.size_bytes,
            card=card,
            lineage=replace(origin.lineage, dataset_hash=card.dataset_hash),
            description=wish.description,
            config_path=str(self._files.final_path(rules)),
            warnings=(*config.warnings, *warnings, *more),
        )

    def _stage_weights(self, origin: _Origin) -> StagedFile:
        try:
            with self._roots.open(origin.weight_path) as file:
                return self._files.stage(file, origin.weight_path.suffix)
        except OSError as error:
            told = f"{str(origin.weight_path)!r} cannot be read: {error.strerror or error}"
            raise SubmissionError("weights_unreadable", origin.fields[1], told, "check the file's rights") from None

    def _card(self, config: ClassifyConfig, origin: _Origin, weights: StagedFile) -> tuple[ModelCard, tuple[str, ...]]:
        """The card beside the weights where it is about them, with what the configuration says otherwise; else one made of the latter.

        Raises:
            SubmissionError: the weights are not those that the training's card is about.
        """
        carded = self._card_beside(origin.weight_path, weights.sha256)
        if origin.task_id and (carded is None or carded.task_id != origin.task_id):
            told = f"the folder of training {origin.task_id!r} holds other weights by now, or another card"
            raise SubmissionError("output_changed", "task_id", told, "register them by cfg_path and weight_path")
        told_by_config: dict[str, Any] = {
            "architecture": config.model,
            "classes": list(config.class_names),
            "num_classes": config.num_classes,
            "image_size": config.image_size,
        }
        if carded is None:
            recipe = None if config.recipe is None else dict(config.recipe)
            name = origin.weight_path.name
            return ModelCard(recipe=recipe, weights_file=name, weights_sha256=weights.sha256, **told_by_config), ()
        return replace(carded, **told_by_config), contradictions_with_card(config, origin.weight_path, roots=self._roots)

    def _card_beside(self, weight_path: Path, sha256: str) -> ModelCard | None:
        with suppress(ModelCardError):
            card = read_model_card(weight_path.with_name(CARD_FILE), roots=self._roots)
            return card if card.weights_sha256 == sha256 else None
        return None

    def _recipe(self, config: ClassifyConfig, origin: _Origin) -> tuple[dict[str, Any] | None, tuple[str, ...]]:
        """The recipe of the card or the configuration, and what is to be said of it; None where recordings cannot be taken."""
        try:
            chosen = choose_recipe(None, config, origin.weight_path, roots=self._roots)
        except RecipeMissingError:
            return None, ()
        return dict(chosen.choices), chosen.warnings


def _parent_of(request: Mapping[str, Any]) -> str:
    """What a training's weights began as; "" for chance."""
    if request.get("resume_from"):
        return f"task {request['resume_from']}"
    if request.get("weight_path"):
        return str(request["weight_path"])
    return MODELS[request["model"]].weights_file if request.get("pretrained") else ""


def _config_text(config: ClassifyConfig, recipe: Mapping[str, Any] | None) -> bytes:
    """The configuration once more, as jobs read it: with every output named in its place, and the recipe that was chosen."""
    content: dict[str, Any] = {
        "model": config.model,
        "num_classes": config.num_classes,
        "class_names": {name: index for index, name in enumerate(config.class_names)},
        "image_size": config.image_size,
    }
    if recipe is not None:
        content["recipe"] = dict(recipe)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()


def _as_submission_error(error: WorkError, fields: tuple[str, str]) -> SubmissionError:
    field = fields[0] if isinstance(error, ConfigError) else fields[1]
    return SubmissionError(error.code, field, error.message, error.hint)
