"""An engine tells failures of networks as such, and says when no order can be answered any more."""

import asyncio
from dataclasses import replace

import pytest

from actors.core.errors import PredictionError
from actors.online import loading
from actors.online.loading import LoadedVersion
from actors.online.orders import PrepareOrder
from tests.unit.online.versions import order_of


def predict(engine, model):
    return asyncio.run(engine.predict(order_of(model)))


@pytest.mark.parametrize("error", [RuntimeError("shapes at /inside/net.py"), ValueError("x"), IndexError("y")])
def test_whatever_a_network_raises_is_told_without_the_inside_and_logged(engines, model, monkeypatch, caplog, error):
    def fail(_version, _inputs):
        raise error

    monkeypatch.setattr(LoadedVersion, "forward", fail)
    engine = engines()
    with pytest.raises(PredictionError, match=f"^the network failed with {type(error).__name__}; the log of the replica") as caught:
        predict(engine, model)
    assert type(caught.value) is PredictionError
    assert str(error) in caplog.text
    engine.check_health()


def test_a_lost_device_makes_the_engine_unwell_for_good(engines, model, monkeypatch):
    def fail(_version, _inputs):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with ...")

    engine = engines()
    with monkeypatch.context() as patch:
        patch.setattr(LoadedVersion, "forward", fail)
        with pytest.raises(PredictionError):
            predict(engine, model)
    predict(engine, model)
    with pytest.raises(RuntimeError, match=r"lost to this process: CUDA error: an illegal memory access was encountered$"):
        engine.check_health()


def test_a_device_that_is_lost_in_a_load_makes_the_engine_unwell_too(engines, model, monkeypatch):
    def fail(*_args):
        raise RuntimeError("CUDA error: unspecified launch failure")

    engine = engines()
    monkeypatch.setattr(loading, "choose_form", fail)
    assert asyncio.run(engine.prepare(PrepareOrder(model))).state == "failed"
    with pytest.raises(RuntimeError, match="lost to this process"):
        engine.check_health()


def test_a_version_that_fails_its_load_leaves_the_engine_well(engines, model):
    engine = engines()
    asyncio.run(engine.prepare(PrepareOrder(replace(model, weights_sha256="1" * 64))))
    engine.check_health()
