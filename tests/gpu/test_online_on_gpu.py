"""On a GPU a version answers as on the CPU, in batches of any size, and its memory comes back."""

import asyncio

import pytest
import torch

from actors.online.footprint import bytes_of
from actors.online.golden import SAME_DEVICE_TOLERANCE, compare, read_golden
from actors.online.optimisation import choose_form
from actors.online.processor import has_bfloat16
from actors.registry.records import Precision
from tests.unit.online.versions import Engines, job_predictor, make_network, order_of, picture, pictures, with_wish, write_version

pytestmark = pytest.mark.gpu


@pytest.fixture
def engines():
    made = Engines()
    yield made
    made.close()


@pytest.mark.parametrize("architecture", ["resnet18", "mobilenet_v3_small"])
def test_a_gpu_answers_as_the_cpu_does(engines, tmp_path, architecture):
    model = with_wish(write_version(tmp_path, architecture=architecture), precision=Precision.FLOAT32)
    engine = engines(device="cuda:0")
    answer = asyncio.run(engine.predict(order_of(model, *(picture(seed) for seed in range(7)))))
    expected = asyncio.run(engines().predict(order_of(model, *(picture(seed) for seed in range(7)))))
    for found, told in zip(answer.predictions, expected.predictions, strict=True):
        assert found.class_name == told.class_name
        assert dict(found.top) == pytest.approx(dict(told.top), abs=1.0)  # percent: the GPU multiplies in TF32


def test_bfloat16_is_chosen_where_the_gpu_has_it_and_the_golden_inputs_agree(engines, tmp_path):
    model = write_version(tmp_path)
    answer = asyncio.run(engines(device="cuda:0").predict(order_of(model)))
    chosen = engines_note(engines)
    assert answer.precision is chosen.precision
    if not has_bfloat16(torch.device("cuda:0")):
        assert chosen.precision is Precision.FLOAT32


def test_the_memory_of_a_version_comes_back_when_it_is_freed(engines, tmp_path):
    model = with_wish(write_version(tmp_path, architecture="resnet18"), precision=Precision.FLOAT32)
    engine = engines(device="cuda:0")

    async def use_and_free() -> int:
        await engine.predict(order_of(model))
        held = torch.cuda.memory_allocated()
        await engine.free(*model.key)
        return held

    before = torch.cuda.memory_allocated()
    held = asyncio.run(use_and_free())
    assert held - before > 40_000_000
    assert torch.cuda.memory_allocated() - before < 5_000_000
    assert job_predictor(model).predict(pictures(1)).shape == (1, 3)


def test_only_one_form_at_a_time_is_on_a_gpu(tmp_path):
    network = make_network("vgg11")
    model = with_wish(write_version(tmp_path, network=network, architecture="vgg11"), precision=Precision.FLOAT32)
    weights_bytes = bytes_of(network)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    choice = choose_form(network, model, read_golden(model), torch.device("cuda:0"))
    assert choice.form.optimised
    assert weights_bytes <= torch.cuda.max_memory_allocated() - before < 1.5 * weights_bytes


def test_a_cpu_may_be_held_to_what_a_gpu_tells_of_golden_inputs(tmp_path):
    model = write_version(tmp_path)
    on_cpu, on_gpu = (
        choose_form(make_network(), model, read_golden(model), torch.device(each)).reference for each in ("cpu", "cuda:0")
    )
    assert compare(on_gpu, on_cpu).is_within(SAME_DEVICE_TOLERANCE)


def engines_note(engines):
    """What was chosen at the last load."""
    return engines.notes[-1].report
