"""What the process that answers HTTP must not load: it would cost 300 MB for nothing."""

import subprocess
import sys


def loaded_by(module, *names):
    """Which of the named packages are loaded once a module is, in a fresh process."""
    code = f"import sys, {module}; print(*(name for name in {names!r} if name in sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return answer.stdout.split()


def test_the_application_needs_neither_ray_nor_torch():
    assert loaded_by("serve_app.app", "ray", "torch", "torchvision", "sqlalchemy") == []


def test_the_deployment_does_not_load_torch():
    assert loaded_by("serve_app.deployment", "torch", "torchvision", "sqlalchemy") == []
