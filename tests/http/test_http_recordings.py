"""What a request says of recordings reaches the training as it was chosen."""

import pytest

from actors.learning.plan import RecordingChoices
from actors.signals.recipe import Recipe
from tests.http import bodies

pytestmark = pytest.mark.anyio


async def test_the_recipe_and_the_augmentation_of_a_training_are_kept_as_plain_values(client, tasks):
    chosen = {
        "recipe": {"pipeline": "native", "nfft": 512, "frame_duration_s": 0.131},
        "augmentation": {"frequency_roll": 0.5, "snr_db": [0, 20]},
        "sample_rate": 250e3,
        "format": "cu8",
    }
    answer = await client.post("/api/v2/training/start", json=bodies.training(**chosen))
    assert answer.status_code == 200, answer.text
    choices = RecordingChoices.of(tasks.submissions[0].request)
    assert Recipe.of(choices.recipe, sample_rate=250e3) == Recipe.native(250e3, nfft=512, frame_duration_s=0.131)
    assert choices.augmentation == {"frequency_roll": 0.5, "time_shift": 0.0, "gain_db": [0.0, 0.0], "snr_db": [0.0, 20.0]}
    assert (choices.sample_rate, choices.center_frequency, choices.datatype) == (250e3, None, "cu8")


async def test_a_training_on_pictures_has_no_choices(client, tasks):
    await client.post("/api/v2/training/start", json=bodies.training())
    assert RecordingChoices.of(tasks.submissions[0].request) is None


async def test_a_recipe_that_cannot_be_is_refused_by_field(client, tasks):
    answer = await client.post("/api/v2/training/start", json=bodies.training(recipe={"pipeline": "P1", "overlap": 0.9}))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")
    assert "overlap" in answer.text
    assert not tasks.submissions
