import pytest

from actors.core.errors import StaleTokenError
from actors.fence import FencedFolder


def stage(folder, name, text):
    path = folder.staging / name
    path.write_text(text)
    return path


def test_a_published_file_is_in_its_place_and_not_in_staging(tmp_path):
    folder = FencedFolder(tmp_path / "out", 1)
    folder.publish(stage(folder, "a", "x"), "sub/a.txt")
    assert (tmp_path / "out/sub/a.txt").read_text() == "x"
    folder.close()
    assert not folder.staging.exists()


def test_an_older_attempt_can_write_nothing_once_a_newer_one_has_begun(tmp_path):
    old = FencedFolder(tmp_path, 1)
    late = stage(old, "a", "old")
    new = FencedFolder(tmp_path, 2)
    new.publish(stage(new, "a", "new"), "a")
    with pytest.raises(StaleTokenError, match="token 1 is older than 2"):
        old.publish(late, "a")
    with pytest.raises(StaleTokenError):
        FencedFolder(tmp_path, 1)
    assert (tmp_path / "a").read_text() == "new"


def test_what_an_older_attempt_left_in_staging_is_swept_away(tmp_path):
    old = FencedFolder(tmp_path, 1)
    stage(old, "half", "x")
    FencedFolder(tmp_path, 2)
    assert not old.staging.exists()


def test_another_rank_of_the_attempt_neither_comes_nor_goes_at_the_cost_of_what_the_first_made(tmp_path):
    first = FencedFolder(tmp_path, 1)
    staged = stage(first, "half", "x")
    other = FencedFolder(tmp_path, 1, rank=1)
    assert other.staging == first.staging
    other.close()
    first.publish(staged, "whole")
    assert (tmp_path / "whole").read_text() == "x"
    first.close()
    assert not first.staging.exists()


def test_a_name_may_not_lead_out_of_the_folder(tmp_path):
    folder = FencedFolder(tmp_path / "out", 1)
    with pytest.raises(ValueError, match="leads out"):
        folder.publish(stage(folder, "a", "x"), "../a")
    assert not (tmp_path / "a").exists()


def test_many_files_are_published_at_once_or_refused_at_once(tmp_path):
    folder = FencedFolder(tmp_path / "out", 1)
    files = [(stage(folder, str(number), "x"), f"sub{number % 2}/{number}") for number in range(4)]
    folder.publish_all(files)
    assert sorted(path.name for path in (tmp_path / "out").glob("sub*/*")) == ["0", "1", "2", "3"]
    late = stage(folder, "late", "x")
    FencedFolder(tmp_path / "out", 2)
    with pytest.raises(StaleTokenError):
        folder.publish_all([(late, "late")])


@pytest.mark.parametrize("name", ["../out of it", "link/x", "sub/..", ".", ""])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    folder = FencedFolder(tmp_path / "out", 1)
    (tmp_path / "out/link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"leads out|no name"):
        folder.publish_all([(stage(folder, "a", "x"), "good"), (stage(folder, "b", "x"), name)])
    assert not (tmp_path / "out/good").exists()


def test_links_put_in_place_of_what_an_attempt_makes_are_not_followed(tmp_path):
    out, outside = tmp_path / "out", tmp_path / "outside"
    for folder in (out, outside):
        folder.mkdir()
    (outside / "kept").write_text("kept")
    (out / ".attempt-1").symlink_to(outside)
    (out / "a").symlink_to(outside / "kept")
    folder = FencedFolder(out, 1)
    folder.publish(stage(folder, "a", "new"), "a")
    folder.close()
    assert (out / "a").read_text() == "new"
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


def test_a_fence_that_is_a_link_is_not_written_through(tmp_path):
    (tmp_path / "victim").write_text("0")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.fence").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="symbolic links"):
        FencedFolder(tmp_path / "out", 7)
    assert (tmp_path / "victim").read_text() == "0"


def test_a_name_below_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "outside").mkdir()
    folder = FencedFolder(tmp_path / "out", 1)
    (tmp_path / "out/sub").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="leads out"):
        folder.publish(stage(folder, "a", "x"), "sub/a")
    assert not list((tmp_path / "outside").iterdir())
