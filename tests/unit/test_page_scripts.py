"""The page's files lead only to files that are there."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "serve_app" / "ui"
SCRIPTS = sorted((PAGE / "js").rglob("*.js"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.relative_to(PAGE).as_posix())
def test_every_import_of_a_script_leads_to_a_file_that_exports_it(path):
    imports = re.findall(
        r"^import (?:\* as \w+|\{([^}]*)\}) from \"([^\"]+)\";", path.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    for names, target in imports:
        source = (path.parent / target).resolve()
        assert source.is_file(), target
        exported = set(
            re.findall(
                r"^export (?:async )?(?:function|class|const|let) (\w+)", source.read_text(encoding="utf-8"), flags=re.MULTILINE
            )
        )
        assert {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()} <= exported, target


def test_the_page_names_only_files_that_are_there():
    named = re.findall(r"(?:href|src)=\"/ui/([^\"]+)\"", (PAGE / "index.html").read_text(encoding="utf-8"))
    assert named
    assert [name for name in named if not (PAGE / name).is_file()] == []
