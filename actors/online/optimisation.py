"""Chooses the form in which a network serves: plain or optimised, in float32 or bfloat16.

Owns what is done to a network and why one form is taken rather than another. Every form is compared with the plain network in float32
on the same device before it is taken, so nothing here can change what a version answers beyond a stated tolerance. Only one form at a
time is on the device: what is built waits in main memory for its turn.
"""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from actors.core.errors import ModelCheckError
from actors.learning.errors import WeightsError
from actors.learning.predictor import Predictor
from actors.online.golden import BFLOAT16_TOLERANCE, SAME_DEVICE_TOLERANCE, Comparison, Golden, Pixels, Probabilities, compare
from actors.online.processor import has_bfloat16
from actors.registry.records import Precision, ServedVersion

_DTYPES: Final = {Precision.FLOAT32: torch.float32, Precision.BFLOAT16: torch.bfloat16}
#: Pictures in the batch that a graph is recorded with; it then takes batches of any size.
_TRACED_BATCH: Final = 2
_CPU: Final = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Form:
    """A way to compute a network; not yet a choice."""

    precision: Precision
    optimised: bool

    def __str__(self) -> str:
        return f"{self.precision}, {'optimised' if self.optimised else 'plain'}"


@dataclass(frozen=True, slots=True)
class Choice:
    """The form that was taken.

    Attributes:
        network: takes values in 0..1 of shape (n, 3, image_size, image_size), float32, on its device.
        form: what was done to it.
        reason: why, as a sentence.
        answers: its probabilities for the golden inputs.
        reference: those of the plain network in float32 without rounding, the same on all devices.
    """

    network: nn.Module
    form: Form
    reason: str
    answers: Probabilities
    reference: Probabilities


class ServedNetwork(nn.Module):
    """A network that computes in some precision, with pictures laid out by pixel, whatever it is given.

    On a GPU batches are filled up to powers of two: for each size that it has not seen yet it would look for its kernels anew, which
    takes longer than the pictures that fill up. A CPU has no such cost (measured: a batch of 3 takes 18 ms a picture at once, one
    of 4 takes 19), so batches keep their size there.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], precision: Precision) -> None:
        super().__init__()
        # Held apart from submodules: a frozen graph has neither modes nor parameters to move.
        self._compute = (compute,)
        self._dtype = _DTYPES[precision]

    def forward(self, values: Tensor) -> Tensor:
        """Compute the outputs, of shape (n, classes)."""
        count = len(values)
        filled = _fill_up(values) if values.is_cuda else values
        outputs: Tensor = self._compute[0](filled.to(dtype=self._dtype, memory_format=torch.channels_last))
        return outputs[:count]


def choose_form(network: nn.Module, model: ServedVersion, golden: Golden, device: torch.device) -> Choice:
    """Choose how a network serves on a device: what its wish forces, else the fastest form whose answers agree.

    Args:
        network: float32, with its weights.
        model: the version, with the wish that counts.
        golden: what the forms are compared on.
        device: where it will serve.

    Raises:
        ModelCheckError: It answers with no numbers, or the forced precision changes its answers too much.
        torch.OutOfMemoryError: It does not fit into the device's memory in any form.
    """
    trial = _begin_trial(network, model, golden.inputs, device)
    forms, reason = _candidates(model, golden, device)
    reasons = [reason]
    for form in forms:
        try:
            tried = _try_form(form, trial)
        except torch.OutOfMemoryError:
            if form is forms[-1]:
                raise
            tried = f"{form} does not fit into the device's memory"
        if isinstance(tried, _Tried):
            return Choice(tried.network, form, "; ".join(reasons), tried.answers, trial.exact)
        reasons.append(tried)
        _give_back(device)
    raise ModelCheckError(f"{model.name}@{model.version}", "; ".join(reasons))


@dataclass(frozen=True, slots=True)
class _Tried:
    """A network in a form that is good, and its answers."""

    network: nn.Module
    answers: Probabilities


@dataclass(frozen=True, slots=True)
class _Trial:
    """What the forms of a network are tried with.

    Attributes:
        network: the plain one, in main memory until a form of it is taken.
        model: the version that it is of.
        inputs: golden ones.
        device: where it will serve.
        usual: the plain network's answers in float32, as the device computes them usually.
        exact: those without rounding.
    """

    network: nn.Module
    model: ServedVersion
    inputs: Pixels
    device: torch.device
    usual: Probabilities
    exact: Probabilities


def _begin_trial(network: nn.Module, model: ServedVersion, inputs: Pixels, device: torch.device) -> _Trial:
    """Let the plain network answer on the device, and take it back from there."""
    plain = network.to(device).eval()
    usual = exact = _answer(plain, model, inputs, device)
    if device.type != "cpu":
        with _without_tf32():
            exact = _answer(plain, model, inputs, device)
    plain.to(_CPU)
    _give_back(device)
    return _Trial(plain, model, inputs, device, usual, exact)


def _try_form(form: Form, trial: _Trial) -> _Tried | str:
    """Build a form and compare its answers; returns why it is not taken, if so. What was built is then free.

    Raises:
        torch.OutOfMemoryError: It does not fit into the device's memory.
    """
    model = trial.model
    try:
        built = _build(trial.network, form, _example(trial.inputs), trial.device)
        answers = _answer(built, model, trial.inputs, trial.device)
    except torch.OutOfMemoryError:
        raise
    # torch tells by all sorts of errors that it cannot record a graph, or not run what it has recorded.
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, WeightsError, ModelCheckError) as error:
        return f"{form} does not work: {_first_line(error)}"
    # In float32 a form shall change nothing; what the device rounds is no fault of the form.
    comparison = compare(answers, trial.usual if form.precision is Precision.FLOAT32 else trial.exact)
    if _is_good(form, comparison, is_forced=model.wish.precision is form.precision):
        return _Tried(built, answers)
    return f"{form}: golden inputs differ by {comparison.largest_difference:.2g}"


@contextmanager
def _without_tf32() -> Iterator[None]:
    """Let GPUs multiply in float32 as CPUs do. It holds for the whole process: passes meanwhile are slower, and no less exact."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def _give_back(device: torch.device) -> None:
    """Hand a GPU's free blocks back, so that whatever is next finds them in one piece."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def warm_up(network: nn.Module, image_size: int, max_batch: int, device: torch.device) -> None:
    """Have a GPU look for its kernels, which it does for each size of batch.

    A CPU needs nothing: a recorded graph is rewritten in its first two runs, whatever their size, and these were its check.
    """
    if device.type != "cuda":
        return
    with torch.inference_mode():
        for size in _powers_up_to(max_batch):
            network(torch.zeros(size, 3, image_size, image_size, device=device))


def fold_batch_norm(network: nn.Module, example: Tensor) -> nn.Module:
    """Put batch norms into the convolutions that feed them, in place.

    Who feeds whom is seen in one pass. torch.fx would tell too, but while it traces it takes over every module's call in the whole
    process, and other versions answer meanwhile. That a convolution's output goes elsewhere too cannot be seen; the comparison
    of the answers would show it.

    Args:
        network: in evaluation mode.
        example: a batch that it takes.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return network
    names = {module: name for name, module in network.named_modules()}
    for convolution, norm in _convolutions_with_norms(network, example):
        network.set_submodule(names[convolution], fuse_conv_bn_eval(convolution, norm))
        network.set_submodule(names[norm], nn.Identity())
    return network


def _convolutions_with_norms(network: nn.Module, example: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Pair each batch norm with the convolution whose output it takes, by one forward pass."""
    outputs: list[tuple[Tensor, nn.Conv2d]] = []  # kept, so that no other tensor takes the place of one in memory
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def note(convolution: nn.Module, _inputs: object, output: Tensor) -> None:
        outputs.append((output, cast("nn.Conv2d", convolution)))

    def pair(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        pairs.extend((convolution, cast("nn.BatchNorm2d", norm)) for output, convolution in outputs if output is inputs[0])

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)]
    hooks += [module.register_forward_pre_hook(pair) for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    try:
        with torch.no_grad():
            network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return pairs


def _candidates(model: ServedVersion, golden: Golden, device: torch.device) -> tuple[Sequence[Form], str]:
    """List the forms to try, the fastest first, and say why these."""
    wish = model.wish
    if wish.precision is not Precision.AUTO:
        forms = [Form(wish.precision, optimised) for optimised in ((True, False) if wish.optimise else (False,))]
        return forms, f"{wish.precision} is forced"
    exact = [Form(Precision.FLOAT32, optimised=True), Form(Precision.FLOAT32, optimised=False)]
    if not wish.optimise:
        return exact[1:], "optimisation is switched off"
    if not has_bfloat16(device):
        return exact, f"the {'GPU' if device.type == 'cuda' else 'processor'} has no bfloat16"
    if not golden.is_stored:
        return exact, "there are no golden inputs to try bfloat16 on"
    return [Form(Precision.BFLOAT16, optimised=True), *exact], "the device has bfloat16"


def _is_good(form: Form, comparison: Comparison, *, is_forced: bool) -> bool:
    """Whether a form answers as the plain network does; one that nobody forced must also keep the best class in ties."""
    if form.precision is Precision.FLOAT32:
        return comparison.is_within(SAME_DEVICE_TOLERANCE)
    return comparison.is_within(BFLOAT16_TOLERANCE) and (is_forced or comparison.keeps_best)


def _build(plain: nn.Module, form: Form, example: Tensor, device: torch.device) -> nn.Module:
    """Bring a network from main memory into a form, and only then to its device."""
    if form == Form(Precision.FLOAT32, optimised=False):
        return plain.to(device)
    own, dtype = copy.deepcopy(plain), _DTYPES[form.precision]
    if not form.optimised:
        return ServedNetwork(own.to(dtype).to(device), form.precision)
    folded = fold_batch_norm(own, example).to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if device.type == "cuda":
        # Frozen graphs make kernels for each new size there, at the expense of whoever waits.
        return ServedNetwork(folded.to(device), form.precision)
    return ServedNetwork(_freeze(folded, example.to(dtype, memory_format=torch.channels_last)), form.precision)


def _freeze(network: nn.Module, example: Tensor) -> Callable[[Tensor], Tensor]:
    """Record a network's graph with its weights as constants.

    A function is recorded, not the module: the code of each module would be looked through too, which takes several times as long.
    """

    def compute(values: Tensor) -> Tensor:
        outputs: Tensor = network(values)
        return outputs

    network.requires_grad_(requires_grad=False)
    with torch.no_grad(), warnings.catch_warnings():
        # That this way is old, and that sizes become constants; batch sizes do not, which the comparison shows.
        warnings.simplefilter("ignore")
        frozen: Callable[[Tensor], Tensor] = torch.jit.trace(compute, example, check_trace=False)  # type: ignore[no-untyped-call]
    return frozen


def _answer(network: nn.Module, model: ServedVersion, inputs: Pixels, device: torch.device) -> Probabilities:
    """Answer golden inputs together, and the first one alone too: both must be possible.

    Raises:
        ModelCheckError: The answers are no numbers.
    """
    predictor = Predictor(network, model.class_names, image_size=model.image_size, device=device)
    try:
        alone, together = predictor.predict(inputs[:1]), predictor.predict(inputs)
    except WeightsError as error:
        raise ModelCheckError(f"{model.name}@{model.version}", str(error)) from error
    together[:1] = alone
    return together


def _example(inputs: Pixels) -> Tensor:
    """Make the batch that a graph is recorded with, in main memory."""
    return torch.zeros(_TRACED_BATCH, 3, *inputs.shape[1:3])


def _fill_up(values: Tensor) -> Tensor:
    """Fill a batch up with its first picture to the next power of two."""
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return torch.cat([values, values[:1].expand(missing, -1, -1, -1)]) if missing else values


def _powers_up_to(most: int) -> Iterator[int]:
    """List the powers of two up to the first that is not less than ``most``, the smallest first."""
    size = 1
    while size < most:
        yield size
        size *= 2
    yield size


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
