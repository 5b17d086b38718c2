"""The code blocks of the README files."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(r"^(?:<!-- run: (?P<name>[^\n]*?) -->\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block; ``name`` is that of its mark, "" without one."""

    name: str
    language: str
    text: str


def code_blocks(path):
    """Every fenced block of a file, in its order."""
    found = _BLOCK.finditer(path.read_text(encoding="utf-8"))
    return [Block(each["name"] or "", each["language"], each["text"].rstrip("\n")) for each in found]


def marked_blocks(path):
    """The blocks that are marked to be run."""
    return [block for block in code_blocks(path) if block.name]
