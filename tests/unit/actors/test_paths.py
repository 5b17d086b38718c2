import os
from pathlib import Path

import pytest

import configs
from actors.core.errors import SubmissionError
from actors.files.data_roots import DataRoots, OutsideRootsError
from actors.paths import build_data_roots, check_still_inside, resolve_existing, resolve_file, resolve_inside
from configs.settings import Settings


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


@pytest.mark.parametrize("field", ["train_path", "weight_path", "output", "resume_from"])
def test_a_path_that_became_a_link_out_of_the_roots_since_its_submission_is_refused(tmp_path, roots, field):
    path = roots.folders[0] / "a"
    check_still_inside({field: str(path), "memory_note": "/ is not a path here", "val_path": ""}, roots)
    path.symlink_to(tmp_path)
    with pytest.raises(OutsideRootsError):
        check_still_inside({field: str(path)}, roots)


def test_a_pipe_is_neither_file_nor_folder(roots):
    os.mkfifo(roots.folders[0] / "pipe")
    assert code_of(resolve_existing, "pipe", roots) == "invalid_path"


def test_a_folder_is_no_file(roots):
    (roots.folders[0] / "a").mkdir()
    assert code_of(resolve_file, "a", roots) == "invalid_path"


def test_the_services_state_passwords_and_code_are_closed(tmp_path):
    code = Path(configs.__file__).parents[1]
    roots = build_data_roots(Settings(data_roots=(tmp_path, code), state_dir=tmp_path / "var"))
    for text in ("var", "var/store.sqlite", ".env", str(code / "actors/paths.py"), str(code / "configs")):
        assert code_of(resolve_inside, text, roots) == "path_forbidden"
    assert resolve_inside("various", "f", roots) == tmp_path / "various"


def test_an_environment_in_a_data_root_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "venv" / name))
    roots = build_data_roots(Settings(data_roots=(tmp_path,), state_dir=tmp_path / "var"))
    for text in ("venv/purelib", "venv/purelib/torch/__init__.py", "venv/stdlib/site.py", "venv/scripts/rfuav"):
        assert code_of(resolve_inside, text, roots) == "path_forbidden"
    assert resolve_inside("venv/data", "f", roots) == tmp_path / "venv/data"
