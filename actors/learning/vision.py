"""The one place that imports torchvision.

PyPI's torchvision is built for CUDA. Beside a CPU-only torch its compiled operators cannot be loaded, and then its
import fails because it registers an implementation for operators nobody declared. This module first tries to load them;
only where the operating system refuses does it declare the two that the import names. Nothing here needs to *run* them:
models are plain torch and pictures are decoded with Pillow.

torchvision also asks torch's compiler one question that only compiled operators would act on. Importing the compiler for it
takes nearly as long as all of torch, and every replica and every inference would wait for that; so it is answered by a stand-in, which is
gone when the import is over. Trainings get the compiler all the same, by their optimisers.

Whatever imports torchvision behind our back (torchmetrics does) must be imported after this module.
"""

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import library as operators

__all__ = ["models"]

#: The operators that torchvision's import expects to be declared.
_EXPECTED_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _compiled_library() -> Path | None:
    """Find torchvision's compiled library without importing torchvision."""
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec is not None else None
    return next((path for folder in folders or () for path in sorted(Path(folder).glob("_C*.so"))), None)


def _has_compiled_operators() -> bool:
    """Load torchvision's operators into torch, where this machine can."""
    library = _compiled_library()
    if library is None:
        return False
    try:
        torch.ops.load_library(str(library))  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True


def _declare_operators() -> operators.Library:
    """Declare the operators by schema only; they stay declared as long as the answer is kept."""
    library = operators.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for schema in _EXPECTED_OPERATORS:
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


@contextmanager
def _compiler_unasked() -> Iterator[None]:
    """Have whoever asks whether torch's compiler works told that it does not, unless it was imported already."""
    names = ("torch._dynamo", "torch._dynamo.utils")
    if names[0] in sys.modules:
        yield
        return
    for name in names:
        stand_in = ModuleType(name)
        stand_in.is_compile_supported = lambda _device: False  # type: ignore[attr-defined]
        sys.modules[name] = stand_in
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _import_models() -> ModuleType:
    """Import ``torchvision.models`` once its operators are known to torch."""
    with _compiler_unasked():
        return importlib.import_module("torchvision.models")


_declared_operators = None if _has_compiled_operators() else _declare_operators()
models = _import_models()
