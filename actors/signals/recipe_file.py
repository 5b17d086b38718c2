"""The file that says how a folder of pictures was made of recordings.

Owns its name and layout. Must not import torch. It is a JSON object beside the pictures:

    {"recipe": {"version": 1, "pipeline": "P1", ...}, "image_size": 224}

``recipe`` is a whole recipe as ``Recipe.to_dict`` makes it, and ``image_size`` the side of the square pictures in pixels. A
network that is trained on the pictures answers to recordings whose frames are made in the same way.
"""

import json
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.signals.errors import RecipeError
from actors.signals.raw_files import read_small
from actors.signals.recipe import Recipe

RECIPE_FILE_NAME: Final = "recipe.json"
_LIMIT_BYTES: Final = 1 << 16
_REMEDY: Final = "Use the file as the spectrogram task wrote it."


@dataclass(frozen=True, slots=True)
class PictureRecipe:
    """How pictures were made: the recipe, and the side in pixels."""

    recipe: Recipe
    image_size: int


def recipe_file_text(made: PictureRecipe) -> str:
    """Make the file's content."""
    return json.dumps({"recipe": made.recipe.to_dict(), "image_size": made.image_size}, indent=1) + "\n"


def read_recipe_file(path: Path, roots: DataRoots = ANYWHERE) -> PictureRecipe:
    """Read what ``recipe_file_text`` made.

    Raises:
        UnreadableRecordingError: The file is not there, cannot be read, or lies outside ``roots``.
        RecipeError: It is no such file; the message names it and what is wrong.
    """
    try:
        content = json.loads(read_small(path, roots, limit_bytes=_LIMIT_BYTES))
    except (ValueError, RecursionError) as error:
        raise RecipeError(f"{path} is no JSON: {error}", _REMEDY) from error
    if not isinstance(content, dict) or content.keys() != {"recipe", "image_size"}:
        raise RecipeError(f"{path} holds {reprlib.repr(content)}, not a recipe and an image_size", _REMEDY)
    image_size = content["image_size"]
    if not isinstance(image_size, int) or isinstance(image_size, bool) or image_size < 1:
        raise RecipeError(f"{path} tells an image_size of {reprlib.repr(image_size)}", "Use a whole number of pixels.")
    try:
        return PictureRecipe(Recipe.from_dict(content["recipe"]), image_size)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error.message}", error.hint) from error
