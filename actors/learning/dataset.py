"""The dataset of a training, decoded.

Owns how the two trees share the memory budget. What a tree or a decoded picture is belongs to the modules it calls.
"""

from collections.abc import Callable
from dataclasses import dataclass

from actors.learning.data import Decoding, PictureSet, decode_pictures
from actors.learning.image_tree import scan_dataset
from actors.learning.journal import Journal
from actors.learning.plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class Dataset:
    """Training and validation pictures with the same class indexes."""

    #: Names of the class folders in index order, and training pictures of each.
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    train: PictureSet
    val: PictureSet


def load_dataset(plan: TrainingPlan, journal: Journal, should_stop: Callable[[], bool]) -> Dataset | None:
    """Find and decode the pictures of both trees, or give None where asked to stop.

    Raises:
        DatasetError: The trees cannot be trained on (UnreadablePictureError: some picture cannot be decoded).
        OutputError: They exceed the memory budget and the staging folder cannot hold them.
    """
    trees = scan_dataset(plan.train_path, plan.val_path, plan.num_classes, roots=plan.roots)
    for warning in trees.warnings:
        journal.note(warning, level="WARNING")
    journal.note(f"Decoding {len(trees.train.samples)} training and {len(trees.val.samples)} validation pictures")
    # Every rank holds all pictures, since each epoch deals them out anew; together they keep to the budget.
    budget_bytes = plan.picture_cache_bytes // plan.world_size
    train = decode_pictures(trees.train, _decoding(plan, budget_bytes), should_stop)
    if train is None:
        return None
    left_bytes = max(0, budget_bytes - train.size_bytes)
    val = decode_pictures(trees.val, _decoding(plan, left_bytes), should_stop)
    if val is None:
        return None
    return Dataset(trees.train.classes, trees.train.counts, train, val)


def _decoding(plan: TrainingPlan, memory_budget_bytes: int) -> Decoding:
    """Tell how pictures are decoded for a plan."""
    return Decoding(plan.image_size, memory_budget_bytes, plan.staging_dir, plan.threads, plan.roots)
