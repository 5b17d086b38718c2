"""How a replica begins: what it may take, and what it loads first."""

import subprocess
import sys

import pytest

from actors.core.model import GIB, Device, DeviceKind
from actors.registry.records import ModelEntry, ModelTable
from configs.settings import Settings
from serve_app.predictor import aliased_versions, choose_budget
from tests.fake_serving import make_version

GPU = Device("cuda:0", DeviceKind.GPU, "node", 0, 24 * GIB)
CPU = Device("cpu:0", DeviceKind.CPU, "node", 0, 16 * GIB, cores=4)


@pytest.mark.parametrize(
    ("device", "settings", "budget"),
    [
        (GPU, {}, 3 * GIB),
        (CPU, {}, 2 * GIB),
        (GPU, {"serving_memory_gb": 1.5}, 3 * GIB // 2),
        (CPU, {"serving_memory_gb": 4}, 4 * GIB),
    ],
)
def test_a_replica_may_take_its_part_of_the_gpu_or_what_the_settings_say(device, settings, budget):
    assert choose_budget(Settings(**settings), device, 1_250) == budget


def make_entry(name, versions, **aliases):
    return ModelEntry(name, {number: make_version(name, number) for number in versions}, aliases)


def test_every_aliased_version_is_loaded_once_and_what_the_bare_names_mean_comes_last_and_so_stays():
    entries = [
        make_entry("birds", (1, 2, 3), candidate=1, old=1),
        make_entry("drones", (1, 2), production=1, candidate=2),
        make_entry("kites", (1,)),
    ]
    table = ModelTable(1, {entry.name: entry for entry in entries})
    assert [version.key for version in aliased_versions(table)] == [("birds", 1), ("drones", 2), ("drones", 1)]


def test_nothing_is_loaded_for_an_alias_whose_version_is_gone():
    assert aliased_versions(ModelTable(1, {"drones": make_entry("drones", (2,), production=1)})) == []


def test_what_serve_imports_to_begin_a_replica_brings_no_torch():
    code = (
        "import sys, serve_app.predictor, serve_app.deployment; sys.exit('torch' in sys.modules or 'serve_app.app' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
