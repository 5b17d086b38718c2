"""Models carry RFUAV's heads, and weights load strictly or are refused with a reason."""

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from actors.files.errors import WorkError
from actors.learning.catalog import MODELS, SUPPORTED_MODELS, Family
from actors.learning.errors import ConfigError, WeightsError, WeightsMismatchError, WeightsNotFoundError, WeightsUnreadableError
from actors.learning.vision import models as torchvision_models
from actors.learning.zoo import build_model, head_width, load_weights

CLASSES = 7

#: The cheapest member of each family, with the smallest side it is tried at.
SMALLEST = {
    "resnet18": 32,
    "vit_b_32": 224,
    "swin_v2_t": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "efficientnet_b0": 32,
    "densenet121": 32,
    "vgg11": 32,
}


def _linear_head(attribute: str) -> Callable[[nn.Module], None]:
    def replace(model: nn.Module) -> None:
        owner, _, leaf = attribute.rpartition(".")
        old = model.get_submodule(attribute)
        setattr(model.get_submodule(owner), leaf, nn.Linear(old.in_features, CLASSES))

    return replace


def _dropout_head(model: nn.Module) -> None:
    model.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(model.classifier[1].in_features, CLASSES))


def _mobilenet_v3_head(model: nn.Module) -> None:
    features = model.classifier[0].in_features
    model.classifier = nn.Sequential(nn.Linear(features, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, CLASSES))


def _vgg_head(model: nn.Module) -> None:
    model.classifier = nn.Sequential(
        *(nn.Linear(model.classifier[0].in_features, 4096), nn.ReLU(), nn.Dropout()),
        *(nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, CLASSES),
    )


#: RFUAV's factory, built independently of the zoo.
RFUAV_HEADS: dict[Family, Callable[[nn.Module], None]] = {
    Family.RESNET: _linear_head("fc"),
    Family.VIT: _linear_head("heads.head"),
    Family.SWIN_V2: _linear_head("head"),
    Family.MOBILENET_V2: _dropout_head,
    Family.MOBILENET_V3: _mobilenet_v3_head,
    Family.EFFICIENTNET: _dropout_head,
    Family.DENSENET: _linear_head("classifier"),
    Family.VGG: _vgg_head,
}


def _rfuav_model(name: str) -> nn.Module:
    model: nn.Module = getattr(torchvision_models, name)(weights=None)
    RFUAV_HEADS[MODELS[name].family](model)
    return model


def _save(model: nn.Module, path: Path) -> Path:
    torch.save(model.state_dict(), path)
    return path


@pytest.mark.parametrize("name", SUPPORTED_MODELS)
def test_every_model_has_the_keys_and_shapes_of_rfuav(name: str) -> None:
    with torch.device("meta"):
        ours, theirs = build_model(name, CLASSES), _rfuav_model(name)
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert head_width(ours) == CLASSES
    assert type(ours).__name__ == MODELS[name].class_name


@pytest.mark.parametrize("name", SMALLEST)
def test_weights_of_each_family_load_strictly_into_rfuav_and_back(name: str, tmp_path: Path) -> None:
    ours, theirs = build_model(name, CLASSES).eval(), _rfuav_model(name).eval()
    path = _save(ours, tmp_path / "best_model.pth")
    theirs.load_state_dict(torch.load(path, weights_only=True, mmap=True), strict=True)
    pictures = torch.rand(2, 3, SMALLEST[name], SMALLEST[name])
    with torch.inference_mode():
        expected = theirs(pictures)
        for parameter in ours.parameters():
            parameter.zero_()
        load_weights(ours, path, expected_classes=CLASSES)
        assert torch.equal(ours(pictures), expected)


def test_safetensors_weights_load(tmp_path: Path) -> None:
    source, target = build_model("mobilenet_v3_small", 3), build_model("mobilenet_v3_small", 3)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    load_weights(target, tmp_path / "w.safetensors", expected_classes=3)
    assert all(torch.equal(value, target.state_dict()[key]) for key, value in source.state_dict().items())


def test_a_head_of_another_width_names_both_widths(tmp_path: Path) -> None:
    path = _save(build_model("resnet18", 5), tmp_path / "five.pth")
    with pytest.raises(WeightsMismatchError, match=r"5 classes, but 10 are expected"):
        load_weights(build_model("resnet18", 10), path, expected_classes=10)


def test_a_safetensors_head_of_another_width_names_both_widths(tmp_path: Path) -> None:
    save_file(build_model("resnet18", 5).state_dict(), tmp_path / "five.safetensors")
    with pytest.raises(WeightsMismatchError, match=r"5 classes, but 10 are expected"):
        load_weights(build_model("resnet18", 10), tmp_path / "five.safetensors", expected_classes=None)


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "mobilenet_v3_small"])
def test_weights_of_another_architecture_are_refused(name: str, tmp_path: Path) -> None:
    path = _save(build_model("resnet18", 5), tmp_path / "w.pth")
    with pytest.raises(WeightsMismatchError, match="another architecture"):
        load_weights(build_model(name, 5), path, expected_classes=5)


def test_a_refused_file_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    path, model = _save(build_model("resnet18", 5), tmp_path / "w.pth"), build_model("resnet18", 10)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError):
        load_weights(model, path, expected_classes=10)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


class _Bomb:
    """Would create a file when unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (_explode, (str(self.path),))


def _explode(path: str) -> None:
    Path(path).touch()


def test_a_file_with_code_is_refused_and_never_run(tmp_path: Path) -> None:
    torch.save({"fc.weight": _Bomb(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(WeightsUnreadableError, match="more than plain tensors"):
        load_weights(build_model("resnet18", 5), tmp_path / "evil.pth", expected_classes=5)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"PK\x03\x04 a torn archive"])
def test_a_damaged_file_is_unreadable(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsUnreadableError):
        load_weights(build_model("resnet18", 5), path, expected_classes=5)


@pytest.mark.parametrize("content", [{"epoch": 3, "model": {}}, [1, 2], {}])
def test_something_else_than_a_state_dict_is_unreadable(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsUnreadableError, match="no state dict"):
        load_weights(build_model("resnet18", 5), tmp_path / "w.pth", expected_classes=5)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="nowhere"):
        load_weights(build_model("resnet18", 5), tmp_path / "nowhere.pth", expected_classes=5)


def test_unknown_models_and_empty_heads_are_refused() -> None:
    with pytest.raises(ConfigError, match="resnet19"):
        build_model("resnet19", 3)
    with pytest.raises(ConfigError, match="num_classes is 0"):
        build_model("resnet18", 0)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "densenet121"])
def test_a_pretrained_backbone_loads_under_a_fresh_head(name: str, tmp_path: Path) -> None:
    published: nn.Module = getattr(torchvision_models, name)(weights=None)
    _save(published, tmp_path / MODELS[name].weights_file)
    model = build_model(name, CLASSES, pretrained=True, weights_dir=tmp_path)
    first = next(iter(published.state_dict()))
    assert torch.equal(model.state_dict()[first], published.state_dict()[first])
    assert head_width(model) == CLASSES


def test_the_old_key_names_in_densenet_files_are_understood(tmp_path: Path) -> None:
    published = torchvision_models.densenet121(weights=None).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value for key, value in published.items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / MODELS["densenet121"].weights_file)
    model = build_model("densenet121", CLASSES, pretrained=True, weights_dir=tmp_path)
    key = "features.denseblock4.denselayer16.conv2.weight"
    assert torch.equal(model.state_dict()[key], published[key])


def test_pretrained_weights_that_cannot_be_had_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.learning.pretrained._SOURCE", "http://127.0.0.1:9/")
    with pytest.raises(WeightsNotFoundError, match=r"resnet18-f37072fd\.pth") as caught:
        build_model("resnet18", CLASSES, pretrained=True, weights_dir=tmp_path)
    assert str(tmp_path) in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_pretrained_weights_that_arrive_damaged_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, hub = tmp_path / "store", tmp_path / "hub"
    store.mkdir()
    (store / MODELS["resnet18"].weights_file).write_bytes(b"not the real ones")
    monkeypatch.setattr("actors.learning.pretrained._SOURCE", f"{store.as_uri()}/")
    with pytest.raises(WeightsNotFoundError, match="damaged"):
        build_model("resnet18", CLASSES, pretrained=True, weights_dir=hub)
    assert list(hub.iterdir()) == []


def _all_errors(kind: type[WorkError]) -> list[type[WorkError]]:
    return [kind, *(found for sub in kind.__subclasses__() for found in _all_errors(sub))]


@pytest.mark.parametrize("kind", _all_errors(WorkError))
def test_errors_survive_pickling(kind: type[WorkError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what happened", "what to do")))  # noqa: S301 (our own bytes)
    assert (type(error), error.message, error.hint, error.code) == (kind, "what happened", "what to do", kind.code)
    assert str(error) == "what happened what to do"
