"""A GPU makes the pictures that the CPU makes."""

import pytest

from actors.signals.engine import SpectrogramEngine
from actors.signals.recipe import Recipe
from tests.unit.signals.reference import synthetic

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "recipe",
    [Recipe.native(1e6, frame_duration_s=0.05), Recipe.p1(1e6, frame_duration_s=0.05), Recipe.p2(1e6, rows=195)],
    ids=lambda recipe: recipe.pipeline,
)
def test_a_gpu_makes_the_same_pictures(recipe):
    samples = synthetic(2 * recipe.frame_samples).reshape(2, -1)
    samples[1, 1000:5000] = 0
    theirs = SpectrogramEngine(recipe, device="cuda")(samples)
    assert theirs.device.type == "cuda"
    assert float((theirs.cpu() - SpectrogramEngine(recipe)(samples)).abs().mean()) < 1e-3
