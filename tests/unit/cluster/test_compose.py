"""How a driver joins its Ray. Without one."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

from cluster import compose


def test_workers_do_not_import_from_the_folder_that_the_service_was_started_in(tmp_path, monkeypatch):
    folders = []

    def join(**_options):
        folders.append(Path.cwd())  # Ray hands this folder to every worker as the first to import from
        return SimpleNamespace(dashboard_url="")

    monkeypatch.setattr("ray.init", join)
    monkeypatch.setitem(os.environ, "RAY_ADDRESS", "")
    monkeypatch.chdir(tmp_path)
    compose.connect("127.0.0.1:1")
    assert folders == [Path(sys.executable).parent]
    assert Path.cwd() == tmp_path
