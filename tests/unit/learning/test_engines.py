"""Threads that ask for the same engine share one, however soon they ask."""

import threading
import time

from actors.learning import engines
from actors.learning.engines import Engines
from actors.signals.recipe import Recipe


def test_an_engine_is_made_once_for_all_threads(monkeypatch):
    made = []

    class SlowEngine:
        def __init__(self, recipe, **how):
            time.sleep(0.05)  # long enough that all threads have asked by then
            made.append((recipe, how))

    monkeypatch.setattr(engines, "SpectrogramEngine", SlowEngine)
    recipes, found = (Recipe.native(1e6), Recipe.native(2e6)), []
    shared = Engines(image_size=32, device="cpu")
    threads = [threading.Thread(target=lambda recipe=recipe: found.append(shared(recipe))) for recipe in recipes * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 2
    assert sorted(recipe.sample_rate for recipe, _ in made) == [1e6, 2e6]
    assert made[0][1] == {"image_size": 32, "device": "cpu"}
