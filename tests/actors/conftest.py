"""One Ray for all tests of this folder: 2 cores, 2 logical GPUs, its own temporary folder and ports."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import ray

from actors.names import NAMESPACE


@pytest.fixture(scope="session")
def cluster():
    folder = Path(tempfile.mkdtemp(prefix="rfuav-t-"))
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=2,
        namespace=NAMESPACE,
        include_dashboard=False,
        object_store_memory=200 * 2**20,
        log_to_driver=False,
        _temp_dir=str(folder),
    )
    yield ray
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)
