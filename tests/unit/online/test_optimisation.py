"""Every form of a network answers as the plain one does, or is not taken; and it is told which one was, and why."""

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn

from actors.core.errors import ModelCheckError
from actors.learning.predictor import Predictor
from actors.online import optimisation, processor
from actors.online.golden import BFLOAT16_TOLERANCE, SAME_DEVICE_TOLERANCE, Golden, compare, read_golden
from actors.online.optimisation import Form, ServedNetwork, choose_form, fold_batch_norm
from actors.registry.records import Precision
from tests.unit.online.versions import CLASSES, make_network, pictures, with_wish, write_version

CPU = torch.device("cpu")
FAMILIES = {
    "resnet18": 32,
    "vit_b_32": 224,
    "swin_v2_t": 64,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "efficientnet_b0": 32,
    "densenet121": 32,
    "vgg11_bn": 32,
}
EXACT = Form(Precision.FLOAT32, optimised=True)
PLAIN = Form(Precision.FLOAT32, optimised=False)


def probabilities(network, batch):
    return Predictor(network, CLASSES, image_size=batch.shape[1], device=CPU).predict(batch)


@pytest.fixture
def without_bfloat16(monkeypatch):
    monkeypatch.setattr(optimisation, "has_bfloat16", lambda _device: False)


@pytest.fixture
def with_bfloat16(monkeypatch):
    monkeypatch.setattr(optimisation, "has_bfloat16", lambda _device: True)


@pytest.mark.parametrize(("architecture", "size"), FAMILIES.items())
def test_every_family_is_optimised_and_answers_batches_of_any_size_as_before(architecture, size, tmp_path, without_bfloat16):
    network = make_network(architecture)
    model = write_version(tmp_path, network=network, architecture=architecture, image_size=size)
    choice = choose_form(copy.deepcopy(network), model, read_golden(model), CPU)
    assert (choice.form, choice.reason) == (EXACT, "the processor has no bfloat16")
    for count in (1, 2, 5):
        batch = pictures(count, size, seed=count)
        assert np.abs(probabilities(choice.network, batch) - probabilities(network, batch)).max() < SAME_DEVICE_TOLERANCE


def test_folding_leaves_no_norm_behind_a_convolution_and_every_answer_as_it_was():
    network = make_network("resnet18")
    folded = fold_batch_norm(copy.deepcopy(network), torch.zeros(2, 3, 32, 32))
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    batch = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(folded(batch), network(batch), atol=1e-4, rtol=1e-4)


def test_what_is_optimised_disturbs_no_network_that_answers_meanwhile(model, without_bfloat16):
    network, batch = make_network(), pictures(2, 32)
    before, failures, is_over = probabilities(network, batch), [], threading.Event()

    def answer():
        while not is_over.is_set():
            try:
                np.testing.assert_allclose(probabilities(network, batch), before, atol=1e-5)
            except BaseException as error:  # noqa: BLE001 - of another thread
                failures.append(error)

    thread = threading.Thread(target=answer)
    thread.start()
    for _ in range(5):
        choose_form(make_network(), model, read_golden(model), CPU)
    is_over.set()
    thread.join()
    assert failures == []


def test_a_graph_that_cannot_be_recorded_is_served_plainly_and_the_reason_says_so(model, monkeypatch, without_bfloat16):
    def refuse(*_args):
        raise RuntimeError("no graph\nlong trace")

    monkeypatch.setattr(optimisation, "_freeze", refuse)
    choice = choose_form(make_network(), model, read_golden(model), CPU)
    assert choice.form == Form(Precision.FLOAT32, optimised=False)
    assert choice.reason.endswith("float32, optimised does not work: no graph")


def test_a_graph_that_answers_otherwise_is_not_served(model, monkeypatch, without_bfloat16):
    monkeypatch.setattr(optimisation, "_freeze", lambda network, _example: lambda values: 3 * network(values).roll(1, dims=1))
    choice = choose_form(make_network(), model, read_golden(model), CPU)
    assert not choice.form.optimised
    assert "golden inputs differ by" in choice.reason


def test_bfloat16_is_chosen_where_the_device_has_it_and_the_golden_inputs_agree(model, with_bfloat16):
    choice = choose_form(make_network(), model, read_golden(model), CPU)
    assert choice.form == Form(Precision.BFLOAT16, optimised=True)
    assert compare(choice.answers, choice.reference).is_within(BFLOAT16_TOLERANCE)


def test_bfloat16_that_changes_golden_answers_gives_way_to_float32(model, monkeypatch, with_bfloat16):
    forward = ServedNetwork.forward

    def worse(self, values):
        outputs = forward(self, values)
        return outputs.roll(1, dims=1) * 3 if self._dtype is torch.bfloat16 else outputs

    monkeypatch.setattr(ServedNetwork, "forward", worse)
    choice = choose_form(make_network(), model, read_golden(model), CPU)
    assert choice.form == EXACT
    assert "bfloat16, optimised: golden inputs differ by" in choice.reason
    with pytest.raises(ModelCheckError, match="bfloat16 is forced"):
        choose_form(make_network(), with_wish(model, precision=Precision.BFLOAT16), read_golden(model), CPU)


def test_without_golden_inputs_bfloat16_is_not_tried(model, with_bfloat16):
    stand_ins = Golden(pictures(2), None, is_stored=False)
    choice = choose_form(make_network(), model, stand_ins, CPU)
    assert (choice.form, choice.reason) == (EXACT, "there are no golden inputs to try bfloat16 on")


@pytest.mark.parametrize("optimised", [True, False])
@pytest.mark.parametrize("precision", [Precision.FLOAT32, Precision.BFLOAT16])
def test_what_is_forced_is_done_on_a_device_without_bfloat16_too(model, precision, optimised, without_bfloat16):
    wished = with_wish(model, precision=precision, optimise=optimised)
    choice = choose_form(make_network(), wished, read_golden(model), CPU)
    assert choice.form == Form(precision, optimised)
    assert f"{precision} is forced" in choice.reason
    comparison = compare(choice.answers, choice.reference)
    assert comparison.is_within(BFLOAT16_TOLERANCE if precision is Precision.BFLOAT16 else SAME_DEVICE_TOLERANCE)
    assert comparison.keeps_best


def test_a_version_that_is_not_to_be_optimised_serves_the_network_itself(model, with_bfloat16):
    network = make_network()
    choice = choose_form(network, with_wish(model, optimise=False), read_golden(model), CPU)
    assert choice.network is network
    assert choice.reason == "optimisation is switched off"


def run_out_of_memory(monkeypatch, forms):
    """Let no form of a set fit into the device's memory; returns the forms that were tried."""
    build, tried = optimisation._build, []

    def exhausted(plain, form, *args):
        tried.append(form)
        if form in forms:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return build(plain, form, *args)

    monkeypatch.setattr(optimisation, "_build", exhausted)
    return tried


def test_a_form_that_finds_no_memory_gives_way_to_the_next(model, monkeypatch, without_bfloat16):
    tried = run_out_of_memory(monkeypatch, {EXACT})
    choice = choose_form(make_network(), model, read_golden(model), CPU)
    assert choice.form == PLAIN
    assert tried == [EXACT, PLAIN]
    assert choice.reason.endswith("float32, optimised does not fit into the device's memory")


def test_memory_that_does_for_no_form_is_told_as_such(model, monkeypatch, without_bfloat16):
    tried = run_out_of_memory(monkeypatch, {EXACT, PLAIN})
    with pytest.raises(torch.OutOfMemoryError):
        choose_form(make_network(), model, read_golden(model), CPU)
    assert tried == [EXACT, PLAIN]


def test_exact_answers_are_computed_without_tf32_which_is_then_as_before():
    def settings():
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = settings()
    with optimisation._without_tf32():
        assert settings() == (False, False)
    assert settings() == before


@pytest.fixture
def rounding_device(monkeypatch):
    """A device that rounds what it multiplies unless it is told not to."""
    answer, move = optimisation._answer, nn.Module.to

    def rounded(network, model, inputs, _device):
        shift = 5e-3 if torch.backends.cudnn.allow_tf32 else 0.0
        return answer(network, model, inputs, CPU) + np.array([shift, -shift, 0], np.float32)

    def stay(network, *args, **options):
        return network if isinstance(args[0] if args else None, torch.device) else move(network, *args, **options)

    monkeypatch.setattr(optimisation, "_answer", rounded)
    monkeypatch.setattr(nn.Module, "to", stay)
    return torch.device("meta")


def test_what_a_rounding_device_tells_of_golden_inputs_is_exact_and_its_forms_are_good_all_the_same(
    model, rounding_device, without_bfloat16, monkeypatch
):
    choice = choose_form(make_network(), model, read_golden(model), rounding_device)
    assert choice.form == EXACT
    assert compare(choice.answers, choice.reference).largest_difference > 1e-3
    monkeypatch.undo()
    np.testing.assert_allclose(choice.reference, probabilities(make_network(), read_golden(model).inputs), atol=1e-6)


@pytest.mark.parametrize(("flags", "has"), [("fpu avx512_bf16", True), ("amx_bf16 fpu", True), ("fpu avx512f", False)])
def test_the_processor_has_bfloat16_where_its_flags_say_so(tmp_path, monkeypatch, flags, has):
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\n", "utf-8")
    monkeypatch.setattr(processor, "_PROCESSORS", tmp_path / "cpuinfo")
    assert processor.has_bfloat16(CPU) is has


def test_a_machine_that_tells_no_flags_has_no_bfloat16(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "_PROCESSORS", tmp_path / "none")
    assert not processor.has_bfloat16(CPU)


def test_ties_closer_than_the_tolerance_may_turn_but_no_more():
    expected = np.array([[0.40, 0.38, 0.22]], np.float32)
    turned = compare(np.array([[0.38, 0.40, 0.22]], np.float32), expected)
    assert not turned.keeps_best
    assert turned.is_within(0.03)
    assert not turned.is_within(0.01)
