"""A training on pictures that were made of recordings carries their recipe, where nothing contradicts it."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from actors.learning.chosen_recipe import choose_recipe
from actors.learning.classify_config import load_classify_config
from actors.learning.model_card import read_model_card
from actors.learning.plan import TrainingPlan
from actors.learning.training import train
from actors.signals.recipe import Recipe
from actors.signals.recipe_file import PictureRecipe, recipe_file_text

RECIPE = Recipe.native(250e3, nfft=64)


@pytest.fixture
def plan(tmp_path):
    for tree, count in (("train", 3), ("valid", 2)):
        for name, colour in (("blue", (20, 40, 220)), ("red", (220, 30, 30))):
            (tmp_path / "set" / tree / name).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (32, 32), colour).save(tmp_path / "set" / tree / name / f"{index}.png")
    (tmp_path / "out").mkdir()
    return TrainingPlan(
        model="mobilenet_v3_small",
        num_classes=2,
        train_path=tmp_path / "set" / "train",
        val_path=tmp_path / "set" / "valid",
        output_dir=tmp_path / "out",
        staging_dir=tmp_path / "staging",
        batch_size=3,
        num_epochs=1,
        image_size=32,
    )


def told(plan):
    """The recipe of the card, and the log."""
    messages = []
    train(plan, report=lambda record: messages.append(record.message), should_stop=lambda: False)
    return read_model_card(plan.output_dir / "model_card.json").recipe, "\n".join(messages)


def test_the_recipe_beside_both_trees_becomes_the_networks(plan):
    (plan.train_path.parent / "recipe.json").write_text(recipe_file_text(PictureRecipe(RECIPE, 32)))
    recipe, log = told(plan)
    assert Recipe.from_dict(recipe) == RECIPE
    assert "answer to recordings too" in log
    config = load_classify_config(plan.output_dir / "config.yaml")
    assert choose_recipe(None, config, plan.output_dir / "best_model.pth").at(1.0) == RECIPE


def test_pictures_of_unknown_making_have_none(plan):
    recipe, log = told(plan)
    assert recipe is None
    assert "recipe" not in log


def test_pictures_of_different_making_have_none_and_it_is_told(plan):
    (plan.train_path / "recipe.json").write_text(recipe_file_text(PictureRecipe(RECIPE, 32)))
    (plan.val_path / "recipe.json").write_text(recipe_file_text(PictureRecipe(replace(RECIPE, nfft=128), 32)))
    recipe, log = told(plan)
    assert recipe is None
    assert "made by different recipes" in log


def test_a_damaged_file_is_told_and_ends_nothing(plan):
    (plan.train_path.parent / "recipe.json").write_text(json.dumps({"recipe": {}}))
    recipe, log = told(plan)
    assert recipe is None
    assert "name no recipe" in log


def test_another_size_is_told(plan):
    (plan.train_path.parent / "recipe.json").write_text(recipe_file_text(PictureRecipe(RECIPE, 224)))
    recipe, log = told(plan)
    assert Recipe.from_dict(recipe) == RECIPE
    assert "made 224 pixels wide and are resized to 32" in log
