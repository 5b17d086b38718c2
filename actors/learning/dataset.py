"""The dataset of a training, as pictures.

Owns how the two trees share the memory budget, and what is told of how they were read. What a tree, a decoded picture or a frame
of a recording is belongs to the modules it calls.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from actors.files.errors import DatasetError
from actors.learning.class_tree import ClassDataset, scan_dataset
from actors.learning.data import Decoding, Pictures, decode_pictures
from actors.learning.frame_pictures import AugmentedFrames, Rendering, augment_frames, render_frames
from actors.learning.journal import Journal
from actors.learning.picture_recipe import recipe_of_pictures
from actors.learning.plan import RecordingChoices, TrainingPlan
from actors.learning.recording_tree import FrameTree, lay_out_frames, open_recordings
from actors.signals.augmentation import RadioAugmentation
from actors.signals.engine import SpectrogramEngine
from actors.signals.frames import settle_recipe

ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and validation pictures with the same class indexes."""

    #: Names of the class folders in index order, and training pictures of each.
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    train: Pictures
    val: Pictures
    #: How the pictures are made of recordings, as JSON values; None where the trees hold pictures of unknown making.
    recipe: Mapping[str, Any] | None = None
    #: How many recordings training and validation pictures are made of, by the names of the model card.
    recordings: Mapping[str, int] = field(default_factory=dict)


def load_dataset(plan: TrainingPlan, journal: Journal, should_stop: ShouldStop) -> Dataset | None:
    """Find the pictures of both trees and decode them, or make them of recordings; None where asked to stop.

    Raises:
        DatasetError: The trees cannot be trained on (UnreadablePictureError: some picture cannot be decoded;
            UnusableRecordingError: no frames can be made of some recording).
        RecipeError: A field of the recipe cannot be used, or it gives more frames than one task should go over.
        SampleRateError: It names no rate, and the recordings have different ones.
        OutputError: They exceed the memory budget and the staging folder cannot hold them.
    """
    trees = scan_dataset(plan.train_path, plan.val_path, plan.num_classes, roots=plan.roots)
    for warning in trees.warnings:
        journal.note(warning, level="WARNING")
    # Every rank holds all pictures, since each epoch deals them out anew; together they keep to the budget.
    budget_bytes = plan.picture_cache_bytes // plan.world_size
    if trees.train.kind == "pictures":
        return _decode(plan, trees, budget_bytes, journal, should_stop)
    if plan.recordings is None:
        raise DatasetError(
            f"{plan.train_path} holds recordings, and nobody tells how pictures are made of them",
            'Give a recipe, such as {"pipeline": "native"}.',
        )
    return _RecordingLoader(plan, plan.recordings, budget_bytes, journal).load(trees, should_stop)


def _decode(
    plan: TrainingPlan, trees: ClassDataset, budget_bytes: int, journal: Journal, should_stop: ShouldStop
) -> Dataset | None:
    """Decode the pictures of both trees."""
    journal.note(f"Decoding {len(trees.train.samples)} training and {len(trees.val.samples)} validation pictures")
    train = decode_pictures(trees.train, _decoding(plan, budget_bytes), should_stop)
    if train is None:
        return None
    val = decode_pictures(trees.val, _decoding(plan, max(0, budget_bytes - train.size_bytes)), should_stop)
    if val is None:
        return None
    recipe = recipe_of_pictures(plan, journal)
    return Dataset(trees.train.classes, trees.train.counts, train, val, recipe.to_dict() if recipe else None)


class _RecordingLoader:
    """Makes the dataset of a training of recordings."""

    def __init__(self, plan: TrainingPlan, choices: RecordingChoices, budget_bytes: int, journal: Journal) -> None:
        self._plan = plan
        self._choices = choices
        self._budget_bytes = budget_bytes
        self._journal = journal

    def load(self, trees: ClassDataset, should_stop: ShouldStop) -> Dataset | None:
        """Read all recordings once; None where asked to stop."""
        train, val = self._lay_out(trees)
        engine = SpectrogramEngine(train.recipe, image_size=self._plan.image_size, device=torch.device(self._plan.device))
        # Pictures are small beside frames: what is left of the budget is for those.
        val_bytes = min(self._budget_bytes, len(val) * self._plan.image_size**2 * 3)
        pictures = self._training_pictures(train, engine, self._budget_bytes - val_bytes, should_stop)
        if pictures is None:
            return None
        rendered = render_frames(val, Rendering(engine), _decoding(self._plan, val_bytes), should_stop)
        if rendered is None:
            return None
        self._tell_silence(val, rendered[1])
        counts = {"train_recordings": len(train.recordings), "valid_recordings": len(val.recordings)}
        return Dataset(train.tree.classes, train.counts, pictures, rendered[0], train.recipe.to_dict(), counts)

    def _lay_out(self, trees: ClassDataset) -> tuple[FrameTree, FrameTree]:
        """Number the frames of both trees, and tell how many there are."""
        both = (trees.train, trees.val)
        opened = [open_recordings(tree, self._choices, roots=self._plan.roots) for tree in both]
        recipe = settle_recipe(self._choices.recipe, [recording for each in opened for recording in each.values()])
        train, val = (lay_out_frames(tree, recordings, recipe) for tree, recordings in zip(both, opened, strict=True))
        self._journal.note(
            f"Reading {len(train)} training frames of {len(train.recordings)} recordings and {len(val)} validation frames of "
            f"{len(val.recordings)}, each {recipe.frame_duration_s:g} s at {recipe.sample_rate:g} S/s"
        )
        for remark in (*train.remarks(), *val.remarks()):
            self._journal.note(remark)
        return train, val

    def _training_pictures(
        self, frames: FrameTree, engine: SpectrogramEngine, budget_bytes: int, should_stop: ShouldStop
    ) -> Pictures | None:
        """Make pictures of the training frames, or keep the frames where they are augmented."""
        decoding = _decoding(self._plan, budget_bytes)
        if self._choices.augmentation is not None:
            return self._augmented(frames, Rendering(engine, _augmentation(self._choices.augmentation)), decoding, should_stop)
        rendered = render_frames(frames, Rendering(engine), decoding, should_stop)
        if rendered is None:
            return None
        self._tell_silence(frames, rendered[1])
        return rendered[0]

    def _augmented(
        self, frames: FrameTree, rendering: Rendering, decoding: Decoding, should_stop: ShouldStop
    ) -> AugmentedFrames | None:
        """Keep the training frames, and tell where memory does not hold them all."""
        augmented = augment_frames(frames, rendering, decoding, should_stop)
        if augmented is None:
            return None
        kept, silent = augmented
        self._tell_silence(frames, silent)
        if len(kept.kept) < len(frames):
            told = f"{len(kept.kept)} of {len(frames)} training frames stay in memory"
            self._journal.note(f"{told}; the others are read again in every epoch")
        return kept

    def _tell_silence(self, frames: FrameTree, silent: int) -> None:
        if silent:
            told = f"{silent} of {len(frames)} frames below {frames.tree.root} hold stretches of zeros"
            self._journal.note(f"{told}: gaps of a receiver, or the filling of recordings shorter than a frame")


def _augmentation(choices: Mapping[str, Any]) -> RadioAugmentation:
    """Make what JSON values describe."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in choices.items()}
    return RadioAugmentation(**values)


def _decoding(plan: TrainingPlan, memory_budget_bytes: int) -> Decoding:
    """Tell how pictures are made for a plan."""
    return Decoding(plan.image_size, memory_budget_bytes, plan.staging_dir, plan.threads, plan.roots)
