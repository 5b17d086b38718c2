"""Recipes: their frames, their JSON, and what they refuse."""

from dataclasses import replace

import pytest

from actors.signals.errors import RecipeError, RecordingTooShortError
from actors.signals.recipe import Recipe

ALL = [Recipe.p1(), Recipe.p2(), Recipe.native(250e3, frame_duration_s=0.131, short="refuse", dynamic_range_db=40)]


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.pipeline)
def test_recipes_survive_json(recipe):
    assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_the_pipelines_frames_are_rfuavs():
    assert (ALL[0].frame_samples, ALL[0].step_samples, ALL[0].hop) == (10_000_000, 5_000_000, 512)
    assert (ALL[1].frame_samples, ALL[1].step_samples, ALL[1].hop) == (39_063 * 256, 150 * 256, 256)
    assert Recipe.p1(ratio=0).step_samples == 10_000_000


def test_binary_fractions_lose_no_sample():
    assert Recipe.native(10e3, nfft=8, frame_duration_s=0.3 * 3).frame_samples == 9000


def test_frames_start_a_step_apart_and_the_incomplete_last_is_left_out():
    recipe = Recipe.p1(1e6, ratio=0)
    assert list(recipe.frame_starts(299_999)) == [0, 100_000]
    assert list(recipe.frame_starts(100_000)) == [0]


def test_short_recordings_are_padded_or_refused_but_never_passed_over():
    assert list(Recipe.p1(1e6, short="pad").frame_starts(1)) == [0]
    with pytest.raises(RecordingTooShortError, match="1 samples are fewer than the 100000"):
        Recipe.p1(1e6).frame_starts(1)
    with pytest.raises(RecordingTooShortError, match="0 samples"):
        Recipe.p1(1e6, short="pad").frame_starts(0)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nfft": 1023}, "nfft is 1023 Use an even"),
        ({"nfft": True}, "nfft is True"),
        ({"window": "blackman"}, "window is 'blackman' Use one of hamming, hanning, hann"),
        ({"window": "hann"}, "window is 'hann' Pipeline P1 has window 'hamming'"),
        ({"overlap": 0.25}, "overlap is 0.25 Pipeline P1 has overlap 0.5"),
        ({"sample_rate": float("nan")}, "sample_rate is nan"),
        ({"sample_rate": "100e6"}, "sample_rate is '100e6'"),
        ({"sample_rate": 10**400}, "sample_rate is 1000"),
        ({"overlap": 10**400}, "overlap is 1000"),
        ({"frame_duration_s": 1e-6}, "A frame has 100 samples; it needs 1024"),
        ({"frame_duration_s": 1e5}, "frame_duration_s is 100000.0"),
        ({"frame_step_s": 1e-9}, "frame_step_s is 1e-09 Use at least one sample"),
        ({"short": "drop"}, "short is 'drop' Use one of pad, refuse"),
        ({"picture_size": None}, "picture_size is None Pipeline P1 needs one"),
        ({"picture_size": (1920, 1)}, "picture_size is"),
        ({"allow_resampling": 1}, "allow_resampling is 1 Use true or false"),
        ({"pipeline": "P3"}, "pipeline is 'P3' Use one of P1, P2, native"),
        ({"pipeline": ["P1"]}, "pipeline is"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_with_its_value_and_the_remedy(changes, told):
    with pytest.raises(RecipeError) as caught:
        replace(Recipe.p1(), **changes)
    assert told in str(caught.value)


def test_native_needs_a_range():
    with pytest.raises(RecipeError, match="dynamic_range_db is None"):
        replace(Recipe.native(1e6), dynamic_range_db=None)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content | {"gain": 3}, "gain is 3 It is no field of a recipe"),
        (lambda content: content | {"version": 2}, "version is 2 This program reads version 1"),
        (lambda content: {name: value for name, value in content.items() if name != "nfft"}, "no field nfft"),
        (lambda content: [content], "Give a JSON object"),
        (lambda content: content | {"picture_size": 5}, "picture_size is 5"),
    ],
)
def test_content_that_is_no_recipe_is_refused(change, told):
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(change(Recipe.p1().to_dict()))
    assert told in str(caught.value)
