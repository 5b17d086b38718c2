"""Threads share one engine, however soon they ask, and make room for each other where the device has too little."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from actors.learning import engines
from actors.learning.engines import Engines
from actors.learning.errors import GpuOutOfMemoryError
from actors.signals.recipe import Recipe

RECIPES = (Recipe.native(1e6), Recipe.native(2e6))


@pytest.fixture
def made(monkeypatch):
    """What engines were made for, of a kind that takes its time, so that all threads have asked by then."""
    made = []

    class SlowEngine:
        def __init__(self, recipe, **how):
            time.sleep(0.05)
            made.append((recipe, how))

    monkeypatch.setattr(engines, "SpectrogramEngine", SlowEngine)
    return made


def test_an_engine_is_made_once_for_all_threads(made):
    shared = Engines(image_size=32, device="cpu")
    with ThreadPoolExecutor(8) as pool:
        found = [*pool.map(lambda recipe: shared.use(recipe, lambda engine: engine), RECIPES * 4)]
    assert len(set(found)) == 2
    assert sorted(recipe.sample_rate for recipe, _ in made) == [1e6, 2e6]
    assert made[0][1] == {"image_size": 32, "device": "cpu"}


@pytest.mark.usefixtures("made")
def test_frames_that_do_not_fit_together_are_made_one_after_the_other():
    shared, inside, meeting = Engines(image_size=32, device="cpu"), [], threading.Barrier(3, timeout=10)
    is_first = threading.local()

    def work(engine):
        if not hasattr(is_first, "over"):
            is_first.over = True
            meeting.wait()
            raise torch.OutOfMemoryError
        inside.append(1)
        together = len(inside)
        time.sleep(0.02)
        inside.pop()
        return together

    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(lambda _: shared.use(RECIPES[0], work), range(3))] == [1, 1, 1]


@pytest.mark.usefixtures("made")
def test_a_frame_that_does_not_fit_alone_is_an_error_with_a_remedy():
    def work(engine):
        raise torch.OutOfMemoryError

    with pytest.raises(GpuOutOfMemoryError, match="a frame of 100000 samples does not fit into the memory of cpu") as caught:
        Engines(image_size=32, device="cpu").use(RECIPES[0], work)
    assert "cpu" in caught.value.hint
