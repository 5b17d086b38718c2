"""Which recipe recordings are evaluated with: the one that was chosen, else the model's own.

Must not import torch: a submission is checked with it by a process that has none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.model_card import CARD_FILE, read_model_card
from actors.signals.errors import RecipeError
from actors.signals.recipe import Recipe


def find_recipe(chosen: Mapping[str, Any] | None, weight_path: Path, *, sample_rate: float, roots: DataRoots = ANYWHERE) -> Recipe:
    """Complete what was chosen, or take the recipe of the model card beside the weights.

    Args:
        chosen: Fields of a recipe; None leaves it to the model.
        weight_path: The model's weights.
        sample_rate: Of the recordings, for recipes that name none.
        roots: Where the card must lie, links followed.

    Raises:
        RecipeError: Nobody tells the recipe, or it cannot be used.
        ModelCardError: The card cannot be read.
    """
    if chosen is not None:
        return Recipe.of(chosen, sample_rate=sample_rate)
    card_path = weight_path.with_name(CARD_FILE)
    card = read_model_card(card_path, roots=roots) if card_path.is_file() else None
    if card is None or card.recipe is None:
        where = f"there is no {CARD_FILE} beside {weight_path.name}" if card is None else f"{card_path} has no recipe"
        raise RecipeError(
            f"nobody tells how pictures are made of recordings for these weights: {where}",
            'Give a recipe, such as {"pipeline": "P1"} for weights that RFUAV published.',
        )
    return Recipe.of(card.recipe, sample_rate=sample_rate)
