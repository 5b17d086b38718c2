import pytest

from actors.core.errors import SubmissionError
from actors.learning.data_roots import DataRoots
from actors.paths import resolve_existing, resolve_inside


@pytest.fixture
def roots(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    return DataRoots.of((first, second))


def code_of(function, text, roots):
    with pytest.raises(SubmissionError) as caught:
        function(text, "train_path", roots)
    assert caught.value.field == "train_path"
    return caught.value.code


def test_a_relative_path_starts_at_the_first_root(roots):
    assert resolve_inside("a/b", "f", roots) == roots.folders[0] / "a/b"


def test_an_absolute_path_may_lie_in_any_root(roots):
    assert resolve_inside(str(roots.folders[1] / "a"), "f", roots) == roots.folders[1] / "a"


@pytest.mark.parametrize("text", ["..", "../second", "a/../../x", "/etc/passwd", "/"])
def test_a_path_outside_every_root_is_forbidden(text, tmp_path, roots):
    assert code_of(resolve_inside, text, roots.only(roots.folders[0])) == "path_forbidden"


def test_a_link_that_leads_out_is_forbidden(tmp_path, roots):
    (roots.folders[0] / "link").symlink_to(tmp_path)
    assert code_of(resolve_inside, "link/x", roots) == "path_forbidden"


def test_a_root_that_is_itself_a_link_is_followed(tmp_path, roots):
    (tmp_path / "alias").symlink_to(roots.folders[0])
    assert resolve_inside("a", "f", DataRoots.of([tmp_path / "alias"])) == roots.folders[0] / "a"


@pytest.mark.parametrize("text", ["", "  ", "a\0b"])
def test_what_is_no_path_is_refused(text, roots):
    assert code_of(resolve_inside, text, roots) == "invalid_path"


def test_a_missing_path_is_named(roots):
    assert code_of(resolve_existing, "nothing", roots) == "path_not_found"
    (roots.folders[0] / "there").mkdir()
    assert resolve_existing("there", "f", roots) == roots.folders[0] / "there"


def test_a_loop_of_links_is_refused(roots):
    (roots.folders[0] / "a").symlink_to(roots.folders[0] / "b")
    (roots.folders[0] / "b").symlink_to(roots.folders[0] / "a")
    assert code_of(resolve_existing, "a/x", roots) in {"invalid_path", "path_not_found"}
