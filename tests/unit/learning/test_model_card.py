"""A model card says what its weights are, and one that cannot be trusted is refused with the reason."""

import hashlib
import json
from pathlib import Path

import pytest

from actors.learning.errors import ModelCardError, WeightsNotFoundError
from actors.learning.model_card import ModelCard, read_model_card, sha256_of, store_metrics_by_snr, write_model_card


def make_card(**changes: object) -> ModelCard:
    values: dict[str, object] = {
        "architecture": "resnet18",
        "classes": ["DJI MINI3", "empty", "Ätherwelle"],
        "num_classes": 3,
        "image_size": 128,
        "metrics": {"val_acc": 97.5},
        "seed": 3,
        "split": {"train": 320, "valid": 82},
    }
    return ModelCard(**{**values, **changes})


def test_a_card_comes_back_as_it_was(tmp_path: Path) -> None:
    write_model_card(tmp_path / "card.json", make_card())
    assert read_model_card(tmp_path / "card.json") == make_card()


def test_a_card_has_the_fields_of_the_format(tmp_path: Path) -> None:
    write_model_card(tmp_path / "card.json", make_card())
    content = json.loads((tmp_path / "card.json").read_text())
    expected = {"format_version", "architecture", "classes", "image_size", "normalization", "recipe", "dataset_hash"}
    expected |= {"split", "seed", "metrics", "weights_sha256", "torch_version", "project_version"}
    assert expected <= content.keys()
    assert (content["normalization"], content["recipe"]) == ("none", None)


def test_fewer_names_than_outputs_are_allowed(tmp_path: Path) -> None:
    write_model_card(tmp_path / "card.json", make_card(num_classes=5))
    assert read_model_card(tmp_path / "card.json").num_classes == 5


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format_version": 2}, "format_version is 2"),
        ({"architecture": "resnet19"}, "'resnet19' is unknown"),
        ({"num_classes": 2}, "3 classes are named, but num_classes is 2"),
        ({"classes": [1, 2, 3]}, "not all names"),
        ({"classes": "abc"}, "field classes"),
        ({"image_size": "224"}, "field image_size"),
        ({"image_size": True}, "field image_size"),
        ({"recipe": []}, "field recipe"),
        ({"colour": "red"}, "unknown field colour"),
    ],
)
def test_a_card_that_cannot_be_right_is_refused(changes: dict[str, object], reason: str, tmp_path: Path) -> None:
    write_model_card(tmp_path / "card.json", make_card())
    content = json.loads((tmp_path / "card.json").read_text()) | changes
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(ModelCardError, match=reason):
        read_model_card(tmp_path / "card.json")


@pytest.mark.parametrize("field", ["architecture", "classes", "num_classes", "image_size"])
def test_a_card_without_what_prediction_needs_is_refused(field: str, tmp_path: Path) -> None:
    write_model_card(tmp_path / "card.json", make_card())
    content = json.loads((tmp_path / "card.json").read_text())
    del content[field]
    (tmp_path / "card.json").write_text(json.dumps(content))
    with pytest.raises(ModelCardError, match=f"field {field} is missing"):
        read_model_card(tmp_path / "card.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"])
def test_what_is_no_json_object_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "card.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelCardError):
        read_model_card(tmp_path / "card.json")


def test_a_missing_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelCardError, match="cannot read"):
        read_model_card(tmp_path / "card.json")


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b"weights")
    assert sha256_of(tmp_path / "w") == hashlib.sha256(b"weights").hexdigest()
    with pytest.raises(WeightsNotFoundError):
        sha256_of(tmp_path / "none")


def test_figures_by_ratio_replace_those_of_the_same_ratio_only(tmp_path: Path) -> None:
    card = make_card()
    write_model_card(tmp_path / "card.json", card)
    for metrics in ({"clean": {"accuracy": 90.0}, "-10": {"accuracy": 20.0}}, {"clean": {"accuracy": 95.0}}):
        assert store_metrics_by_snr(tmp_path / "card.json", metrics, weights_sha256=card.weights_sha256)
    stored = read_model_card(tmp_path / "card.json").metrics_by_snr
    assert stored == {"clean": {"accuracy": 95.0}, "-10": {"accuracy": 20.0}}


def test_a_card_from_before_there_was_a_threshold_is_read(tmp_path: Path) -> None:
    write_model_card(tmp_path / "card.json", make_card())
    content = json.loads((tmp_path / "card.json").read_text())
    del content["unknown_below"]
    (tmp_path / "card.json").write_text(json.dumps(content))
    assert read_model_card(tmp_path / "card.json").unknown_below is None


@pytest.mark.parametrize("threshold", [0.0, 0.55, 1.0])
def test_a_threshold_is_a_probability(tmp_path: Path, threshold: float) -> None:
    write_model_card(tmp_path / "card.json", make_card(unknown_below=threshold))
    assert read_model_card(tmp_path / "card.json").unknown_below == threshold


@pytest.mark.parametrize("threshold", [-0.1, 1.5, 55.0, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(tmp_path: Path, threshold: float) -> None:
    write_model_card(tmp_path / "card.json", make_card(unknown_below=threshold))
    with pytest.raises(ModelCardError, match="not a probability from 0 to 1"):
        read_model_card(tmp_path / "card.json")
