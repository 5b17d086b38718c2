"""A training on recordings learns, says what it read, carries its recipe, and goes on exactly where it was stopped."""

import json
from dataclasses import replace

import pytest
import torch
import yaml

from actors.files.errors import DatasetError
from actors.learning.classify_config import load_classify_config
from actors.learning.model_card import read_model_card
from actors.learning.training import train
from actors.signals.recipe import Recipe
from tests.unit.learning.recording_trees import AUGMENTATION, RATE, RECIPE, make_plan, write_trees


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    return write_trees(tmp_path_factory.mktemp("recordings"))


def never():
    return False


def run(plan, should_stop=never):
    records = []
    return train(plan, report=records.append, should_stop=should_stop), [record.message for record in records]


def after(questions):
    asked = iter(range(10_000))
    return lambda: next(asked) >= questions


def weights_in(folder):
    return torch.load(folder / "MobileNetV3_epoch_2.pth", weights_only=True)


@pytest.mark.parametrize("augmentation", [None, {"frequency_roll": 0.5}])
def test_a_training_learns_from_recordings(trees, tmp_path, augmentation):
    # Processors round differently: of eight seeds one took eleven epochs to get there.
    plan = make_plan(trees, tmp_path, augmentation=augmentation, num_epochs=16)
    outcome, _ = run(plan)
    assert outcome.status == "completed"
    assert outcome.best_acc > 90
    assert sum(map(sum, outcome.confusion)) == 16


def test_the_card_and_the_configuration_carry_the_whole_recipe(trees, tmp_path):
    plan = make_plan(trees, tmp_path, augmentation=AUGMENTATION, num_epochs=1)
    run(plan)
    card = read_model_card(plan.output_dir / "model_card.json")
    expected = Recipe.of(RECIPE, sample_rate=RATE)
    assert Recipe.from_dict(card.recipe) == expected
    assert card.split == {"train": 32, "valid": 16, "train_recordings": 8, "valid_recordings": 4}
    content = yaml.safe_load((plan.output_dir / "config.yaml").read_text())
    assert content["recipe"] == json.loads(json.dumps(card.recipe))
    assert load_classify_config(plan.output_dir / "config.yaml").class_names == ("bursts", "tones")


def test_a_recipe_with_a_picture_size_is_written_in_plain_values(trees, tmp_path):
    recipe = {"pipeline": "P1", "nfft": 32, "frame_duration_s": 0.064, "picture_size": [64, 48]}
    plan = make_plan(trees, tmp_path, num_epochs=1)
    run(replace(plan, recordings=replace(plan.recordings, recipe=recipe)))
    content = yaml.safe_load((plan.output_dir / "config.yaml").read_text())
    assert Recipe.from_dict(content["recipe"]) == Recipe.of(recipe, sample_rate=RATE)


# With one thread, 14 questions come before the first batch, 17 with the first epoch, and three more are batches of the second.
@pytest.mark.parametrize("augmentation", [None, AUGMENTATION], ids=["plain", "augmented"])
@pytest.mark.parametrize("cache_bytes", [2 << 30, 0], ids=["in memory", "read again"])
def test_a_stopped_training_goes_on_to_the_very_same_weights(trees, tmp_path, augmentation, cache_bytes):
    whole = make_plan(trees, tmp_path / "whole", augmentation=augmentation)
    assert run(whole)[0].status == "completed"
    parted = make_plan(trees, tmp_path / "parted", augmentation=augmentation, picture_cache_bytes=cache_bytes)
    first, messages = run(parted, after(14 + 17 + 3))
    assert (first.status, first.epochs_done) == ("stopped", 1), messages
    assert run(replace(parted, resume_from=parted.output_dir / "last.ckpt"))[0].status == "completed"
    one, other = weights_in(whole.output_dir), weights_in(parted.output_dir)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_validation_is_never_augmented(trees, tmp_path):
    plain, changed = (make_plan(trees, tmp_path / name, num_epochs=1, learning_rate=1e-30) for name in ("plain", "changed"))
    changed = replace(changed, recordings=replace(changed.recordings, augmentation={"gain_db": [0.0, 0.0]}), batch_size=32)
    outcomes = [run(replace(plan, batch_size=32, model="resnet18"))[0] for plan in (plain, changed)]
    assert outcomes[0].metrics["val_loss"] == pytest.approx(outcomes[1].metrics["val_loss"], rel=1e-3)


def test_the_log_says_what_was_read_and_resampled(tmp_path):
    trees = write_trees(tmp_path / "fast", train=1, valid=1, rate=2 * RATE)
    plan = make_plan(trees, tmp_path, num_epochs=1)
    _, messages = run(replace(plan, recordings=replace(plan.recordings, recipe={**RECIPE, "sample_rate": RATE})))
    told = "\n".join(messages)
    assert "Reading 4 training frames of 2 recordings and 4 validation frames of 2, each 0.032 s at 16000 S/s" in told
    assert f"2 recordings below {trees / 'train'} brought from 32000 to 16000 S/s" in told


def test_the_log_says_what_does_not_stay_in_memory(trees, tmp_path):
    _, messages = run(make_plan(trees, tmp_path, augmentation=AUGMENTATION, num_epochs=1, picture_cache_bytes=100_000))
    assert any("of 32 training frames stay in memory; the others are read again" in message for message in messages)


def test_a_stop_while_frames_are_read_ends_at_once(trees, tmp_path):
    for questions in range(3):
        outcome, messages = run(make_plan(trees, tmp_path, augmentation=AUGMENTATION), after(questions))
        assert outcome.status == "stopped"
        assert not any("started" in message for message in messages)


def test_recordings_without_a_recipe_are_refused(trees, tmp_path):
    with pytest.raises(DatasetError, match=r"train holds recordings.*recipe"):
        run(make_plan(trees, tmp_path, recordings=None))
