"""Tests that need a real GPU: they are skipped without one, and fail where REQUIRE_GPU=1 says that one is there."""

import os

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def real_gpu():
    if not torch.cuda.is_available():
        assert os.environ.get("REQUIRE_GPU") != "1", "REQUIRE_GPU=1, but torch finds no GPU"
        pytest.skip("no GPU here")
