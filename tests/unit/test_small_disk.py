"""Where a small disk is required, a machine that cannot mount one is told, instead of passing without that fault."""

import pytest

from tests.small_disk import small_disk


@pytest.fixture(autouse=True)
def _mount_that_may_not(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    mount = programs / "mount"
    mount.write_text("#!/bin/sh\necho must be superuser >&2\nexit 32\n")
    mount.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


@pytest.mark.parametrize(("required", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_disk_that_is_required_is_not_passed_over(tmp_path, monkeypatch, required, outcome):
    monkeypatch.setenv("REQUIRE_SMALL_DISK", required)
    with pytest.raises(outcome), small_disk(tmp_path / "disk"):
        pass
