"""Walls that the import linter cannot see."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["actors.system", "serve_app.deployment", "cluster.watchdog", "cluster.cli"])
def test_what_serves_and_keeps_books_never_imports_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'torchvision' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or f"{module} imports torch, which costs 300 MB"
