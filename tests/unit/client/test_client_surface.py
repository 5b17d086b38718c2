"""What both clients offer, and what importing them costs."""

import inspect
import subprocess
import sys

import pytest

from cluster.client import AsyncClient, Client


def methods(kind):
    return {name: each for name, each in vars(kind).items() if not name.startswith("_") and callable(each)}


def test_both_clients_have_the_same_methods_with_the_same_parameters_and_words():
    blocking, awaiting = methods(Client), methods(AsyncClient)
    assert set(blocking) == set(awaiting)
    own = {"run", "iterate", "close"}
    for name in set(blocking) - own:
        assert inspect.signature(blocking[name]) == inspect.signature(awaiting[name])
        assert blocking[name].__doc__ == awaiting[name].__doc__


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_every_method_explains_itself_and_shows_no_inner_parameter(kind):
    for name, method in methods(kind).items():
        assert method.__doc__, name
        assert method.__name__ == name
        assert "manner" not in inspect.signature(method).parameters
        assert "manner" not in method.__doc__


def test_importing_the_client_loads_neither_ray_nor_torch_nor_the_web_framework():
    code = "import sys, cluster.client; print(*({'ray', 'torch', 'torchvision', 'fastapi', 'starlette', 'sqlalchemy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []
