"""A recipe made of what somebody chose, over HTTP or in a file."""

from typing import get_args

import pytest
from pydantic import ValidationError

from actors.signals.datatypes import parse_datatype
from actors.signals.errors import RecipeError
from actors.signals.recipe import Recipe
from serve_app.schemas.recipe import RadioAugmentationRequest, RecipeRequest, RecordingFields, SampleFormat


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"pipeline": "P1"}, Recipe.p1(250e3)),
        ({"pipeline": "P2", "picture_size": [1920, 1440]}, Recipe.p2(250e3, picture_size=(1920, 1440))),
        ({"pipeline": "P1", "frame_duration_s": 0.2, "nfft": 256}, Recipe.p1(250e3, frame_duration_s=0.2, stft_point=256)),
        ({"pipeline": "native", "sample_rate": 1e6, "short": "refuse", "nfft": None}, Recipe.native(1e6, short="refuse")),
        ({"pipeline": "native", "frame_duration_s": 0.2}, Recipe.native(250e3, frame_duration_s=0.2, frame_step_s=0.2)),
    ],
)
def test_what_is_not_chosen_is_usual_for_the_pipeline(choices, expected):
    assert Recipe.of(choices, sample_rate=250e3) == expected
    assert Recipe.of(RecipeRequest(**choices).model_dump(mode="json"), sample_rate=250e3) == expected


@pytest.mark.parametrize("recipe", [Recipe.p1(), Recipe.p2(), Recipe.native(250e3)], ids=lambda recipe: recipe.pipeline)
def test_a_whole_recipe_is_a_choice_too(recipe):
    assert Recipe.of(recipe.to_dict(), sample_rate=1.0) == recipe
    assert Recipe.of(RecipeRequest(**recipe.to_dict()).model_dump(mode="json")) == recipe


@pytest.mark.parametrize(
    ("choices", "told"),
    [
        ({"pipeline": "P1"}, "has no sample_rate"),
        ({"pipeline": "P3", "sample_rate": 1e6}, "pipeline is 'P3' Use one of P1, P2, native"),
        ({"sample_rate": 1e6}, "pipeline is None"),
        ({"pipeline": "P1", "sample_rate": "fast"}, "sample_rate is 'fast'"),
        ({"pipeline": "native", "sample_rate": 1e6, "frame_duration_s": "long"}, "frame_duration_s is 'long'"),
        ({"pipeline": "P1", "sample_rate": 1e6, "overlap": 0.25}, "Pipeline P1 has overlap 0.5"),
        ({"pipeline": "P1", "speed": 1}, "speed is 1 It is no field of a recipe"),
        ({"pipeline": "P1", "version": 2}, "version is 2"),
        (["P1"], r"the recipe is \['P1'\]"),
    ],
)
def test_what_cannot_be_used_is_named(choices, told):
    with pytest.raises(RecipeError, match=told):
        Recipe.of(choices)


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"pipeline": "P1", "overlap": 0.25},
        {"pipeline": "native", "picture_size": [640, 480]},
        {"pipeline": "native", "sample_rate": 1e6, "frame_duration_s": 1e-4},
        {"pipeline": "native", "nfft": 1023},
        {"pipeline": "P1", "colour": "jet"},
    ],
)
def test_a_request_is_refused_at_the_door_where_that_can_be_known(choices):
    with pytest.raises(ValidationError):
        RecipeRequest(**choices)


def test_every_format_named_is_read():
    for name in get_args(SampleFormat):
        assert parse_datatype(name).name == name
    with pytest.raises(ValidationError):
        RecordingFields(format="rf32_le")


def test_spans_out_of_order_are_refused():
    with pytest.raises(ValidationError, match="gain_db is"):
        RadioAugmentationRequest(gain_db=(3, -3))
