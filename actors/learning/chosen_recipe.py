"""Chooses the recipe by which pictures are made of recordings, for one set of weights.

Owns the order of those who may tell it: the request, the model card beside the weights, the configuration. A network only fits
pictures made as those that it was trained on, so nobody guesses. It must not import torch: a submission is checked by a
process that never loads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import WorkError
from actors.learning.classify_config import ClassifyConfig
from actors.learning.errors import ModelCardError
from actors.learning.model_card import CARD_FILE, read_model_card, sha256_of
from actors.signals.errors import RecipeError
from actors.signals.recipe import Recipe

REQUEST: Final = "the request"
CONFIGURATION: Final = "the configuration"
#: Recipes without a rate are compared at RFUAV's: one at which their usual frames are possible.
_COMPARED_AT: Final = 100e6
_REMEDY: Final = (
    'Give recipe in the request, such as {"pipeline": "P1"} for weights that were trained on RFUAV\'s pictures; '
    f"or put a recipe into the configuration; or use weights with a {CARD_FILE} beside them that holds one."
)


class RecipeMissingError(WorkError):
    """Recordings, and nobody tells how pictures are made of them."""

    code: ClassVar[str] = "recipe_missing"


@dataclass(frozen=True, slots=True)
class ChosenRecipe:
    """What was chosen by whom. It is a whole recipe once the rate of a recording is known."""

    choices: Mapping[str, Any]
    source: str
    #: Where others say something else, as sentences for the user.
    warnings: tuple[str, ...] = ()

    def at(self, sample_rate: float) -> Recipe:
        """Complete it for recordings of some rate, which is the recipe's unless it names one.

        Raises:
            RecipeError: It cannot be used at that rate.
        """
        return Recipe.of(self.choices, sample_rate=sample_rate)


def choose_recipe(
    requested: Mapping[str, Any] | None, config: ClassifyConfig, weight_path: Path, *, roots: DataRoots = ANYWHERE
) -> ChosenRecipe:
    """Take the recipe of the request, else of the model card if it is about these weights, else of the configuration.

    Raises:
        RecipeMissingError: None of them tells one.
        WeightsNotFoundError: The weights cannot be read.
    """
    carded, warnings = _of_card(weight_path, roots)
    told = [(REQUEST, requested), (f"{CARD_FILE} beside the weights", carded), (CONFIGURATION, config.recipe)]
    found = [(source, choices) for source, choices in told if choices is not None]
    if not found:
        reasons = "".join(f" ({warning})" for warning in warnings)
        raise RecipeMissingError(f"nobody tells how pictures are made of recordings for {weight_path.name}{reasons}", _REMEDY)
    (source, chosen), *others = found
    different = [
        f"the recipe of {source} differs from that of {other}: {difference}"
        for other, choices in others
        if (difference := _difference(chosen, choices))
    ]
    return ChosenRecipe(chosen, source, (*warnings, *different))


def _of_card(weight_path: Path, roots: DataRoots) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Read the recipe of the card beside the weights, and tell why it does not count where it does not."""
    path = weight_path.with_name(CARD_FILE)
    if not path.is_file():
        return None, ()
    try:
        card = read_model_card(path, roots=roots)
    except ModelCardError as error:
        return None, (error.message,)
    if card.recipe is None:
        return None, ()
    if sha256_of(weight_path) != card.weights_sha256:
        return None, (f"{CARD_FILE} beside {weight_path.name} is about other weights, so its recipe does not count",)
    return card.recipe, ()


def _difference(chosen: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Name the fields that differ once both are whole; nothing where they cannot be compared."""
    rate = chosen.get("sample_rate") or other.get("sample_rate") or _COMPARED_AT
    try:
        ours, theirs = (Recipe.of(each, sample_rate=rate).to_dict() for each in (chosen, other))
    except RecipeError:
        return ""
    return ", ".join(f"{name} {ours[name]} instead of {theirs[name]}" for name in ours if ours[name] != theirs[name])
