"""Unit tests never start Ray: one that tries fails."""

import pytest


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a unit test must not start Ray")

    try:
        import ray
    except ImportError:
        return
    monkeypatch.setattr(ray, "init", refuse)
