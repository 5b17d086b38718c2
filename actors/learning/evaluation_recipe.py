"""Which recipe recordings are evaluated with: the one that was requested, else the model's own.

Must not import torch: a submission is checked with it by a process that has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning.model_card import CARD_FILE, read_model_card
from actors.signals.errors import RecipeError
from actors.signals.recipe import Recipe


@dataclass(frozen=True, slots=True)
class ChosenRecipe:
    """What was chosen; a whole recipe once the rate of a recording is known."""

    choices: Mapping[str, Any]

    def at(self, sample_rate: float) -> Recipe:
        """Complete it for recordings of some rate, which is the recipe's unless it names one.

        Raises:
            RecipeError: It cannot be used at that rate.
        """
        return Recipe.of(self.choices, sample_rate=sample_rate)


def choose_recipe(requested: Mapping[str, Any] | None, weight_path: Path, *, roots: DataRoots = ANYWHERE) -> ChosenRecipe:
    """Take the recipe of the request, else of the model card beside the weights.

    Raises:
        RecipeError: Neither tells one.
        ModelCardError: The card cannot be read.
    """
    if requested is not None:
        return ChosenRecipe(requested)
    card_path = weight_path.with_name(CARD_FILE)
    card = read_model_card(card_path, roots=roots) if card_path.is_file() else None
    if card is None or card.recipe is None:
        where = f"there is no {CARD_FILE} beside {weight_path.name}" if card is None else f"{card_path} has no recipe"
        raise RecipeError(
            f"nobody tells how pictures are made of recordings for these weights: {where}",
            'Give a recipe, such as {"pipeline": "P1"} for weights that RFUAV published.',
        )
    return ChosenRecipe(card.recipe)
