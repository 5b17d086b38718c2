"""The page's words: both languages say everything, and no module asks for a word that nobody wrote."""

import re
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "serve_app" / "ui" / "js"
WORDS = SCRIPTS / "words"
MODULES = sorted(path for path in SCRIPTS.rglob("*.js") if path.parent != WORDS)
USED = re.compile(r"(?<![\w.])t\(\s*\"([^\"]+)\"")
#: A key that is put together, such as ``missing_${why}``.
BUILT = re.compile(r"(?<![\w.])t\(\s*`([^`]+)`")
ENTRY = re.compile(r"^    (?:\"([^\"]+)\"|(\w+)):\s*\"((?:[^\"\\]|\\.)*)\",?$", re.MULTILINE)
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def read_words(path):
    """The words of a file: ``{language: {key: text}}``."""
    sections = re.split(r"^  (en|zh): \{$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {}
    for language, body in zip(sections[1::2], sections[2::2], strict=True):
        entries = [(quoted or bare, text) for quoted, bare, text in ENTRY.findall(body)]
        lines = [line for line in body.splitlines() if re.match(r"^    \S", line)]
        assert len(entries) == len(lines), f"{path.name}: a line of {language} is no plain text"
        assert len(dict(entries)) == len(entries), f"{path.name}: {language} says something twice"
        found[language] = dict(entries)
    return found


@pytest.mark.parametrize("path", sorted(WORDS.glob("*.js")), ids=lambda path: path.name)
def test_both_languages_have_the_same_words_with_the_same_places_to_fill(path):
    words = read_words(path)
    assert set(words) == {"en", "zh"}
    assert words["en"].keys() == words["zh"].keys()
    for key, text in words["en"].items():
        assert set(PLACEHOLDER.findall(text)) == set(PLACEHOLDER.findall(words["zh"][key])), key


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(SCRIPTS).as_posix())
def test_every_word_that_a_module_says_was_written(path):
    source = path.read_text(encoding="utf-8")
    known = known_words(source)
    assert set(USED.findall(source)) <= known
    for built in BUILT.findall(source):
        prefix = built.partition("${")[0]
        assert any(key.startswith(prefix) for key in known), f"no word begins with {prefix}, as {built} does"


def known_words(source):
    """The keys that a module may say: the common ones, and those of the words it imports."""
    known = set(read_words(WORDS / "common.js")["en"])
    for name in re.findall(r"words/(\w+)\.js\"", source):
        known |= set(read_words(WORDS / f"{name}.js")["en"])
    return known
