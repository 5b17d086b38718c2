"""The request's recipe goes before the model card's, that before the configuration's; nobody guesses, and differences are told."""

import subprocess
import sys

import pytest

from actors.learning.chosen_recipe import RecipeMissingError, choose_recipe
from actors.learning.classify_config import ClassifyConfig, load_classify_config
from actors.learning.errors import ConfigError
from actors.learning.model_card import ModelCard, sha256_of, write_model_card
from actors.signals.errors import RecipeError
from actors.signals.recipe import Recipe

P1 = {"pipeline": "P1", "sample_rate": 1e8}


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"weights")
    return tmp_path / "w.pth"


def config(recipe=None):
    return ClassifyConfig("resnet18", 2, ("a", "b"), 224, None, recipe=recipe)


def put_card(weights, recipe, *, sha256=None):
    card = ModelCard(
        architecture="resnet18",
        classes=["a", "b"],
        num_classes=2,
        image_size=224,
        recipe=recipe,
        weights_sha256=sha256_of(weights) if sha256 is None else sha256,
    )
    write_model_card(weights.with_name("model_card.json"), card)


def test_the_request_goes_first_then_the_card_then_the_configuration(weights):
    assert choose_recipe(None, config(P1), weights).source == "the configuration"
    put_card(weights, Recipe.p1().to_dict())
    assert "model_card.json" in choose_recipe(None, config(P1), weights).source
    chosen = choose_recipe(P1, config(P1), weights)
    assert (chosen.source, chosen.choices, chosen.warnings) == ("the request", P1, ())


def test_what_differs_from_the_card_is_named_with_both_values(weights):
    put_card(weights, Recipe.p1().to_dict())
    (warning,) = choose_recipe({"pipeline": "P1", "nfft": 512}, config(), weights).warnings
    assert "nfft 512 instead of 1024" in warning
    assert "overlap" not in warning


def test_what_differs_is_named_though_neither_recipe_has_a_rate(weights):
    (warning,) = choose_recipe({"pipeline": "native"}, config(P1), weights).warnings
    assert "differs from that of the configuration: pipeline native instead of P1" in warning


def test_a_card_of_other_weights_does_not_count_and_that_is_told(weights):
    put_card(weights, Recipe.p1().to_dict(), sha256="0" * 64)
    with pytest.raises(RecipeMissingError, match="about other weights"):
        choose_recipe(None, config(), weights)


def test_without_any_the_error_names_the_remedy(weights):
    put_card(weights, None)
    with pytest.raises(RecipeMissingError, match=r"w\.pth") as failed:
        choose_recipe(None, config(), weights)
    assert failed.value.code == "recipe_missing"
    assert '"pipeline": "P1"' in failed.value.hint


def test_a_recipe_without_a_rate_takes_that_of_each_recording(weights):
    chosen = choose_recipe({"pipeline": "native", "sample_rate": None, "version": 1}, config(), weights)
    assert [chosen.at(rate).sample_rate for rate in (1e6, 2e6)] == [1e6, 2e6]
    with pytest.raises(RecipeError, match="frame_duration_s"):
        chosen.at(1000.0)


def write_config(folder, recipe):
    path = folder / "c.yaml"
    path.write_text(f"model: resnet18\nnum_classes: 1\nclass_names: {{a: 0}}\nimage_size: 64\nrecipe: {recipe}\n")
    return path


def test_a_configuration_may_hold_a_recipe_with_numbers_as_people_write_them(tmp_path):
    path = write_config(tmp_path, "{pipeline: P1, sample_rate: 100e6, picture_size: [1920, 1440]}")
    assert Recipe.of(load_classify_config(path).recipe) == Recipe.p1()
    assert load_classify_config(write_config(tmp_path, "")).recipe is None


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ("P1", "not keys"),
        ("{pipeline: P9}", "P9"),
        ("{pipeline: P1, nfft: 3}", "nfft"),
        (f"{{pipeline: native, overlap: 1{'0' * 400}}}", "overlap"),
    ],
)
def test_a_wrong_recipe_is_an_error_of_the_configuration(tmp_path, recipe, problem):
    with pytest.raises(ConfigError, match=rf"c\.yaml.*{problem}"):
        load_classify_config(write_config(tmp_path, recipe))


def test_choosing_needs_no_torch():
    check = "import sys; import actors.learning.chosen_recipe, actors.learning.inference_sources; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", check], check=True)
