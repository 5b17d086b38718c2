"""Models with the heads of RFUAV, and the weights files that fit them.

Owns building a network and filling it, strictly, from a file. torchvision's own heads are RFUAV's in shape and key
names for every family but mobilenet_v3, so a weights file of either project loads in the other. Files are read as plain
tensors: nothing in a file is ever executed.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.learning import vision
from actors.learning.catalog import MODELS, SUPPORTED_MODELS, Family, ModelSpec
from actors.learning.errors import ConfigError, WeightsMismatchError, WeightsNotFoundError, WeightsUnreadableError
from actors.learning.pretrained import pretrained_file

StateDict = dict[str, Tensor]

#: torchvision's DenseNet files were saved when submodule names could hold dots ("norm.1" is "norm1" today).
_OLD_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")


def build_model(name: str, num_classes: int, *, pretrained: bool = False, weights_dir: Path | None = None) -> nn.Module:
    """Build a model with RFUAV's head for ``num_classes`` classes.

    Args:
        name: One of ``catalog.SUPPORTED_MODELS``.
        num_classes: The width of the head.
        pretrained: Whether all but the head takes its ImageNet weights.
        weights_dir: Where those lie; torch hub's folder where not given.

    Raises:
        ConfigError: The name is unknown or there is no class.
        WeightsNotFoundError: Pretrained weights were asked for and cannot be had.
        WeightsUnreadableError: The pretrained file is damaged.
    """
    spec = MODELS.get(name)
    if spec is None:
        raise ConfigError(f"model {name!r} is unknown", f"Choose one of {', '.join(SUPPORTED_MODELS)}.")
    if num_classes < 1:
        raise ConfigError(f"num_classes is {num_classes}", "Give at least one class.")
    model: nn.Module = getattr(vision.models, name)(weights=None, num_classes=num_classes)
    if spec.family is Family.MOBILENET_V3:
        model.classifier = _mobilenet_v3_head(model, num_classes)
    if pretrained:
        _load_backbone(model, spec, weights_dir)
    return model


def load_weights(model: nn.Module, path: Path | str, *, expected_classes: int | None, roots: DataRoots = ANYWHERE) -> None:
    """Fill ``model`` from a .pth or .safetensors state dict; every key and shape must fit.

    Args:
        model: The network to fill, with its head already of the right width.
        path: The weights file.
        expected_classes: How many classes the caller has names for, where it knows.
        roots: Where the file must lie, links followed.

    Raises:
        OutsideRootsError: It lies elsewhere.
        WeightsNotFoundError: There is no such file.
        WeightsUnreadableError: It is no plain state dict.
        WeightsMismatchError: It belongs to another architecture or to another number of classes.
    """
    state = read_state_dict(Path(path), roots=roots)
    _check_fit(model, state, Path(path), expected_classes)
    model.load_state_dict(state, strict=True)


def read_state_dict(path: Path, *, roots: DataRoots = ANYWHERE) -> StateDict:
    """Read a weights file onto the CPU without executing anything in it.

    Raises:
        OutsideRootsError: It is a link that leads out of ``roots``.
        WeightsNotFoundError: There is no such file.
        WeightsUnreadableError: It is damaged, holds code, or holds something else than named tensors.
    """
    if not path.is_file():
        raise WeightsNotFoundError(f"there is no weights file at {path}", "Check weight_path.")
    is_plain = path.suffix.lower() == ".safetensors"
    content = _read_safetensors(path, roots) if is_plain else _read_torch_file(path, roots)
    if not isinstance(content, Mapping) or not content:
        raise _not_a_state_dict(path, f"it holds {type(content).__name__}")
    stranger = next((key for key, value in content.items() if not isinstance(value, Tensor)), None)
    if stranger is not None:
        raise _not_a_state_dict(path, f"its entry {stranger!r} is no tensor")
    return dict(content)


def head_width(model: nn.Module) -> int:
    """Tell for how many classes the head of a model is made."""
    state = model.state_dict()
    return int(state[_head_weight_key(state)].shape[0])


def _mobilenet_v3_head(model: nn.Module, num_classes: int) -> nn.Sequential:
    """Make the head that RFUAV gives this family, which is not torchvision's."""
    features = model.state_dict()["classifier.0.weight"].shape[1]
    return nn.Sequential(nn.Linear(features, 512), nn.ReLU(), nn.Dropout(0.2), nn.Linear(512, num_classes))


def _load_backbone(model: nn.Module, spec: ModelSpec, weights_dir: Path | None) -> None:
    """Fill all but the head from torchvision's ImageNet file."""
    path = pretrained_file(spec.weights_file, weights_dir)
    head = _head_weight_key(model.state_dict()).split(".")[0] + "."
    stored = {_OLD_DENSENET_KEY.sub(r"\1\2", key): value for key, value in read_state_dict(path).items()}
    fresh = {key: value for key, value in model.state_dict().items() if key.startswith(head)}
    backbone = {key: value for key, value in stored.items() if not key.startswith(head)}
    _check_fit(model, backbone | fresh, path, None)
    model.load_state_dict(backbone | fresh, strict=True)


def _check_fit(model: nn.Module, state: StateDict, path: Path, expected_classes: int | None) -> None:
    """Refuse a state dict that does not fit, telling a wrong head from a wrong architecture."""
    own = model.state_dict()
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    strangers = [key for key in state if key not in own]
    if missing or strangers:
        raise _wrong_architecture(path, missing, strangers)
    # Weights saved before torch counted batches lack the counters; what they count does not change a prediction.
    state.update({key: value for key, value in own.items() if key not in state})
    head = _head_weight_key(own)
    wanted = expected_classes if expected_classes is not None else own[head].shape[0]
    if state[head].shape[:1] != (wanted,):
        raise _wrong_head(path, state[head].shape[0], wanted)
    reshaped = [key for key in own if own[key].shape != state[key].shape]
    if reshaped:
        raise _wrong_shape(path, reshaped[0], state[reshaped[0]], own[reshaped[0]])


def _head_weight_key(state: Mapping[str, Tensor]) -> str:
    """Name the weight of the last linear layer in a model's own state dict (a file may have another order)."""
    return [key for key in state if key.endswith(".weight")][-1]


def _read_safetensors(path: Path, roots: DataRoots) -> object:
    """Read a .safetensors file."""
    from safetensors import SafetensorError  # noqa: PLC0415 (few attempts read this format)
    from safetensors.torch import load_file  # noqa: PLC0415

    try:
        return load_file(str(roots.locate(path)), device="cpu")  # it takes no open file
    except (SafetensorError, OSError) as error:
        raise WeightsUnreadableError(f"{path} is no readable safetensors file: {error}", "Export it again.") from error


def _read_torch_file(path: Path, roots: DataRoots) -> object:
    """Read a file of ``torch.save`` with the unpickler that knows tensors only."""
    try:
        with roots.open(path) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsUnreadableError(
            f"{path} holds more than plain tensors, or is damaged; it was not loaded, since that could run its code",
            "Save model.state_dict() alone, or convert it to .safetensors.",
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise WeightsUnreadableError(f"{path} is no readable weights file: {error}", "Export it again.") from error


def _not_a_state_dict(path: Path, reason: str) -> WeightsUnreadableError:
    """Say that a file holds something else than weights."""
    hint = "Give a bare state dict such as best_model.pth; last.ckpt is for resuming only."
    return WeightsUnreadableError(f"{path} is no state dict: {reason}", hint)


def _wrong_architecture(path: Path, missing: list[str], strangers: list[str]) -> WeightsMismatchError:
    """Say that keys differ, with one example of each kind."""
    parts = []
    if missing:
        parts.append(f"{len(missing)} weights are missing, such as {missing[0]}")
    if strangers:
        parts.append(f"{len(strangers)} are unknown to it, such as {strangers[0]}")
    return WeightsMismatchError(
        f"{path} belongs to another architecture: {' and '.join(parts)}", "Name the model it was trained as."
    )


def _wrong_head(path: Path, found: int, wanted: int) -> WeightsMismatchError:
    """Say that the number of classes differs."""
    return WeightsMismatchError(
        f"the head in {path} is for {found} classes, but {wanted} are expected",
        f"Use weights of {wanted} classes, or give the {found} classes they were trained on.",
    )


def _wrong_shape(path: Path, key: str, found: Tensor, wanted: Tensor) -> WeightsMismatchError:
    """Say that one weight has another shape."""
    return WeightsMismatchError(
        f"{path} belongs to another architecture: {key} has the shape {tuple(found.shape)}, not {tuple(wanted.shape)}",
        "Name the model it was trained as.",
    )
