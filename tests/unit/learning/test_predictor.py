"""Predictions are those of a plain torchvision pipeline, and what cannot be predicted is refused in clear words."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from actors.learning import vision
from actors.learning.classify_config import ClassifyConfig
from actors.learning.errors import GpuOutOfMemoryError, WeightsError, WeightsMismatchError, WeightsNotFoundError
from actors.learning.pictures import decode_picture
from actors.learning.predictor import PartedForward, Predictor, load_predictor
from actors.learning.zoo import build_model

CLASSES = ("hopping", "noise", "video")


def config(*names: str, model: str = "mobilenet_v3_small", image_size: int = 64) -> ClassifyConfig:
    """What a configuration file with these class names says."""
    return ClassifyConfig(model, len(names), names, image_size, None)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Random weights for three classes."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "best_model.pth"
    torch.save(build_model("mobilenet_v3_small", 3).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def predictor(weights):
    return load_predictor(config(*CLASSES), weights, device="cpu", threads=2)


def pictures(count: int, side: int = 64) -> np.ndarray:
    """Random pixels."""
    return np.random.default_rng(count).integers(256, size=(count, side, side, 3), dtype=np.uint8)


class Crowded(nn.Module):
    """A network on a device where ``room`` pictures fit at once."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.passes: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.passes.append(len(batch))
        if len(batch) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch.mean(dim=(2, 3))


def crowded(room: int, *, limit: int = 16) -> tuple[Crowded, Predictor, PartedForward, list[str]]:
    """A predictor with little memory, its forward in parts and what that says."""
    network, warnings = Crowded(room), []
    predictor = Predictor(network, CLASSES, image_size=8, device=torch.device("cpu"))
    return network, predictor, PartedForward(predictor, limit, warn=warnings.append), warnings


def test_probabilities_are_float32_and_sum_to_one(predictor):
    probabilities = predictor.predict(pictures(5))
    assert probabilities.shape == (5, 3)
    assert probabilities.dtype == np.float32
    assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(("size", "mode"), [((300, 200), "RGB"), ((64, 64), "L"), ((17, 90), "RGBA")])
def test_predictions_equal_a_plain_torchvision_pipeline(tmp_path, weights, predictor, size, mode):
    from torchvision import transforms

    path = tmp_path / "picture.png"
    Image.fromarray(pictures(1, 300)[0]).resize(size).convert(mode).save(path)
    pipeline = transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()])
    model = build_model("mobilenet_v3_small", 3)
    model.load_state_dict(torch.load(weights, weights_only=True))
    with torch.no_grad(), Image.open(path) as picture:
        expected = torch.softmax(model.eval()(pipeline(picture.convert("RGB"))[None]), dim=1).numpy()
    assert np.allclose(predictor.predict(decode_picture(path, 64)[None]), expected, atol=1e-6)


def test_a_picture_is_predicted_alike_alone_and_among_others(predictor):
    batch = pictures(7)
    together = predictor.predict(batch)
    alone = np.concatenate([predictor.predict(picture[None]) for picture in batch])
    assert np.allclose(together, alone, atol=1e-6)


def test_predicting_neither_learns_nor_keeps_gradients(weights):
    predictor = load_predictor(config(*CLASSES), weights, device="cpu", threads=2)
    first = predictor.predict(pictures(4))
    for _ in range(3):
        predictor.predict(pictures(8))
    assert np.array_equal(predictor.predict(pictures(4)), first)


def test_top_ranks_the_best_classes_with_their_probabilities(predictor):
    rows = np.float32([[0.2, 0.5, 0.3], [0.9, 0.0, 0.1]])
    assert [[name for name, _ in ranking] for ranking in predictor.top(rows, k=2)] == [["noise", "video"], ["hopping", "video"]]
    assert predictor.top(rows)[1][0] == ("hopping", pytest.approx(0.9))


def test_top_gives_all_classes_where_there_are_fewer(predictor):
    assert [len(ranking) for ranking in predictor.top(predictor.predict(pictures(2)))] == [3, 3]


def test_of_equal_classes_the_one_with_the_smaller_index_comes_first(predictor):
    ranking = predictor.top(np.full((1, 3), 1 / 3, np.float32))[0]
    assert [name for name, _ in ranking] == list(CLASSES)


def test_a_head_of_another_width_is_refused_naming_both(weights):
    with pytest.raises(WeightsMismatchError, match=r"3 classes.*5"):
        load_predictor(config("a", "b", "c", "d", "e"), weights, device="cpu", threads=2)


def test_weights_of_another_architecture_are_refused(weights):
    with pytest.raises(WeightsMismatchError, match="architecture"):
        load_predictor(config(*CLASSES, model="resnet18"), weights, device="cpu", threads=2)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"gone\.pth"):
        load_predictor(config(*CLASSES), tmp_path / "gone.pth", device="cpu", threads=2)


def test_a_diverged_network_is_an_error_and_no_prediction(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    next(iter(state.values())).fill_(float("nan"))
    torch.save(state, tmp_path / "nan.pth")
    predictor = load_predictor(config(*CLASSES), tmp_path / "nan.pth", device="cpu", threads=2)
    with pytest.raises(WeightsError, match="no numbers"):
        predictor.predict(pictures(1))


def test_a_batch_that_fits_goes_through_in_one_pass():
    network, _, forward, warnings = crowded(room=16)
    forward(pictures(16, 8))
    assert network.passes == [16]
    assert warnings == []


def test_without_room_batches_are_halved_until_they_fit_and_stay_so():
    network, predictor, forward, warnings = crowded(room=5)
    batch = pictures(16, 8)
    parted = forward(batch)
    network.room = 16
    assert np.array_equal(parted, predictor.predict(batch))
    assert network.passes[:-1] == [16, 8, 4, 4, 4, 4]
    forward(batch[:6])
    assert network.passes[7:] == [4, 2]
    assert len(warnings) == 2


def test_a_last_batch_smaller_than_the_limit_is_halved_from_its_own_size():
    network, _, forward, _ = crowded(room=2)
    assert len(forward(pictures(5, 8))) == 5
    assert network.passes == [5, 2, 2, 1]


def test_a_single_picture_without_room_is_an_error_with_a_remedy():
    _, _, forward, _ = crowded(room=0)
    with pytest.raises(GpuOutOfMemoryError, match="single picture") as failure:
        forward(pictures(4, 8))
    assert "cpu" in failure.value.hint


def test_torchvision_comes_through_the_one_module_that_can_load_it():
    assert hasattr(vision.models, "resnet18")
