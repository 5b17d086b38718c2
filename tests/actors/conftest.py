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


@pytest.fixture(scope="module")
def service(cluster, tmp_path_factory):
    """The three actors with 2 simulated GPUs and quick leases; yields their settings."""
    from actors.system import start_actors, stop_actors
    from configs.settings import Settings

    root = tmp_path_factory.mktemp("service")
    settings = Settings(
        state_dir=root / "state",
        data_roots=(root,),
        simulate_gpus=2,
        lease_ttl_s=8,
        heartbeat_s=0.5,
        stop_grace_s=20,
        torch_threads=1,
    )
    start_actors(settings)
    yield settings
    stop_actors()


@pytest.fixture
def accountant(service):
    return ray.get_actor("accountant", namespace=NAMESPACE)


@pytest.fixture
def supervisor(service):
    return ray.get_actor("supervisor", namespace=NAMESPACE)


@pytest.fixture
def log_hub(service):
    return ray.get_actor("log_hub", namespace=NAMESPACE)
