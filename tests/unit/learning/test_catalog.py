"""The catalogue agrees with torchvision and can be read without torch."""

import subprocess
import sys

import pytest

from actors.learning.catalog import MODELS, SUPPORTED_MODELS, Family, check_image_size
from actors.learning.vision import models as torchvision_models


def test_importing_the_catalogue_does_not_import_torch() -> None:
    modules = "actors.learning.catalog, actors.learning.class_tree, actors.learning.model_card"
    check = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_every_model_of_the_contract_is_there() -> None:
    expected = {f"resnet{n}" for n in (18, 34, 50, 101, 152)}
    expected |= {"vit_b_16", "vit_b_32", "vit_l_16", "vit_l_32", "vit_h_14", "swin_v2_t", "swin_v2_s", "swin_v2_b"}
    expected |= {"mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"}
    expected |= {f"efficientnet_b{n}" for n in range(8)} | {f"densenet{n}" for n in (121, 161, 169, 201)}
    expected |= {f"vgg{n}{bn}" for n in (11, 13, 16, 19) for bn in ("", "_bn")}
    assert set(SUPPORTED_MODELS) == expected
    assert all(spec.name == name for name, spec in MODELS.items())


@pytest.mark.parametrize("name", SUPPORTED_MODELS)
def test_weights_files_are_among_those_torchvision_names(name: str) -> None:
    published = {weights.url.rsplit("/", 1)[-1] for weights in torchvision_models.get_model_weights(name)}
    assert MODELS[name].weights_file in published


def test_vision_transformers_take_224_pixels_only() -> None:
    for name in (name for name, spec in MODELS.items() if spec.family is Family.VIT):
        assert check_image_size(name, 224) is None
        assert "224" in (check_image_size(name, 128) or "")


def test_other_models_take_32_pixels_or_more() -> None:
    for name in (name for name, spec in MODELS.items() if spec.family is not Family.VIT):
        assert check_image_size(name, 32) is None
        assert "at least 32" in (check_image_size(name, 31) or "")


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        MODELS["mine"] = MODELS["resnet18"]  # type: ignore[index]
