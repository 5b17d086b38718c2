"""How the pictures of a dataset were made, where a file beside them tells.

Owns where that file is looked for, and when it counts. It must not import torch.
"""

from pathlib import Path

from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.learning.journal import Journal
from actors.learning.plan import TrainingPlan
from actors.signals.recipe import Recipe
from actors.signals.recipe_file import RECIPE_FILE_NAME, PictureRecipe, read_recipe_file


def recipe_of_pictures(plan: TrainingPlan, journal: Journal) -> Recipe | None:
    """Tell how the pictures of both trees were made of recordings; None where nobody tells, or both tell different things.

    The file lies in the tree's folder or in the one above, as the spectrogram task leaves it.
    """
    try:
        train, val = (_made(path, plan.roots) for path in (plan.train_path, plan.val_path))
    except WorkError as error:
        journal.note(f"The model card will name no recipe: {error}", level="WARNING")
        return None
    if train is None or val is None:
        return None
    if train.recipe != val.recipe:
        told = f"{plan.train_path} and {plan.val_path} were made by different recipes: the model card will name none"
        journal.note(told, level="WARNING")
        return None
    if train.image_size != plan.image_size:
        told = f"the pictures were made {train.image_size} pixels wide and are resized to {plan.image_size}"
        journal.note(f"{told}; on recordings, pictures of {plan.image_size} pixels are made at once", level="WARNING")
    journal.note(f"The pictures were made of recordings by {RECIPE_FILE_NAME}: the network will answer to recordings too")
    return train.recipe


def _made(tree: Path, roots: DataRoots) -> PictureRecipe | None:
    """Read the file of one tree, if there is one."""
    found = next((path for folder in (tree, tree.parent) if (path := folder / RECIPE_FILE_NAME).is_file()), None)
    return None if found is None else read_recipe_file(found, roots)
