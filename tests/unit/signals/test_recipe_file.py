"""The file beside pictures says how they were made, and nothing else is taken for it."""

import json

import pytest

from actors.files.data_roots import DataRoots
from actors.signals.errors import RecipeError, UnreadableRecordingError
from actors.signals.recipe import Recipe
from actors.signals.recipe_file import PictureRecipe, read_recipe_file, recipe_file_text
from tests.http.test_http_imports import loaded_by

MADE = PictureRecipe(Recipe.native(250e3, frame_duration_s=0.05), 224)


@pytest.mark.parametrize("recipe", [Recipe.p1(), Recipe.p2(), MADE.recipe])
def test_what_was_written_is_read_again(tmp_path, recipe):
    path = tmp_path / "recipe.json"
    path.write_text(recipe_file_text(PictureRecipe(recipe, 640)))
    assert read_recipe_file(path) == PictureRecipe(recipe, 640)


def test_its_layout_is_the_documented_one():
    assert json.loads(recipe_file_text(MADE)) == {"recipe": MADE.recipe.to_dict(), "image_size": 224}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is no JSON"),
        ("[" * 60_000, "is no JSON"),
        ("[]", "not a recipe and an image_size"),
        ('{"recipe": {}}', "not a recipe and an image_size"),
        ('{"recipe": {}, "image_size": 0}', "image_size of 0"),
        ('{"recipe": {}, "image_size": true}', "image_size of True"),
        ('{"recipe": {"version": 1, "pipeline": "P1"}, "image_size": 224}', "the recipe has no field"),
        ('{"recipe": {"version": 2}, "image_size": 224}', "version is 2"),
    ],
)
def test_another_file_of_this_name_is_an_error_that_names_it(tmp_path, content, told):
    path = tmp_path / "recipe.json"
    path.write_text(content)
    with pytest.raises(RecipeError, match=told) as caught:
        read_recipe_file(path)
    assert str(path) in caught.value.message


def test_a_link_out_of_the_roots_is_not_followed(tmp_path):
    (tmp_path / "theirs.json").write_text(recipe_file_text(MADE))
    (tmp_path / "root").mkdir()
    (tmp_path / "root/recipe.json").symlink_to(tmp_path / "theirs.json")
    with pytest.raises(UnreadableRecordingError):
        read_recipe_file(tmp_path / "root/recipe.json", DataRoots.of([tmp_path / "root"]))


def test_reading_it_loads_no_torch():
    assert loaded_by("actors.signals.recipe_file", "torch") == []
