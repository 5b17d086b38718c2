"""Where files of requests lie until they are answered."""

import pytest

from configs.settings import Settings
from serve_app.spool import Spool, SpoolFolder


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path / "var")


def test_leftovers_of_a_process_that_is_gone_are_removed_and_nothing_else(tmp_path):
    gone, alive, new = Spool(tmp_path), Spool(tmp_path), Spool(tmp_path)
    for spool in (gone, alive):
        SpoolFolder(spool).append("a.iq", b"1")
    gone._lock_file.close()
    new.clear_leftovers()
    assert [path.is_dir() for path in (gone._own, alive._own)] == [False, True]
    alive.clear_leftovers()
    assert alive._own.is_dir(), "its own folder is in use"


def test_names_are_hidden_and_for_this_user_alone(tmp_path):
    spool = Spool(tmp_path)
    folder = SpoolFolder(spool)
    folder.append("a.iq", b"1")
    assert spool._own.name.startswith(".")
    assert folder.path.stat().st_mode & 0o077 == 0


def test_the_end_leaves_nothing(tmp_path):
    spool = Spool(tmp_path)
    SpoolFolder(spool).append("a.iq", b"1")
    spool.close()
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.anyio
async def test_the_application_clears_the_spool_when_it_begins(app, settings):
    left = settings.state_dir / "spool" / ".old"
    left.mkdir(parents=True)
    async with app.router.lifespan_context(app):
        assert not left.exists()
