"""The documents agree with each other and with the code."""

import re

import pytest

from configs.settings import ENVIRONMENT_NAMES
from tests.readme import ROOT, code_blocks

READMES = (ROOT / "README.md", ROOT / "README.zh-CN.md")


def headings(path):
    return [line.count("#", 0, 4) for line in path.read_text(encoding="utf-8").splitlines() if re.match(r"#{1,3} ", line)]


def without_comments(block):
    return [re.sub(r"\s*(#|//).*", "", line).rstrip() for line in block.text.splitlines() if not line.lstrip().startswith("#")]


def test_both_readmes_have_the_same_sections():
    english, chinese = map(headings, READMES)
    assert english == chinese


def test_both_readmes_show_the_same_commands():
    """Only comments are translated; diagrams have words of their own."""
    english, chinese = ([each for each in code_blocks(path) if each.language in ("bash", "python")] for path in READMES)
    assert [each.name for each in english] == [each.name for each in chinese]
    assert [without_comments(each) for each in english] == [without_comments(each) for each in chinese]


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_links_into_the_repository_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert targets
    assert [target for target in targets if target and not (ROOT / target).exists()] == []


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_settings_that_are_named_exist(path):
    named = set(re.findall(r"\bRFUAV_[A-Z0-9_]+", path.read_text(encoding="utf-8")))
    assert named - set(ENVIRONMENT_NAMES) - {"RFUAV_URL", "RFUAV_API_KEY", "RFUAV_TEST_DATA"} == set()


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.name)
def test_every_setting_is_in_the_table(path):
    rows = [line.split("|")[1] for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`([A-Z][A-Z0-9_]+)`", row)}
    assert set(ENVIRONMENT_NAMES) - listed == set()
