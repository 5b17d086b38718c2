"""Keeps what a message tells about the machine to the folders that users know: the data roots.

Errors of libraries name files wherever they lie (a cache in somebody's home, a temporary folder). Users get the last part of such a
path, which says what is missing; the worker's own log holds the whole text.
"""

import re
from collections.abc import Iterable
from pathlib import Path

#: An absolute path in running text, as far as it holds no blanks; ``//`` begins the rest of an address, not a path.
_PATH = r"(?<![\w.~/-])/(?!/)[^\s'\"`,;()\[\]<>|]+"


def hide_paths(text: str, roots: Iterable[Path]) -> str:
    """Shorten every path that exists on this machine's disk and lies outside the roots to ``.../`` and its last part."""
    known = "|".join(re.escape(str(root).rstrip("/")) + r"(?![\w.-])[^\s'\"]*" for root in roots)
    pattern = re.compile(rf"(?P<root>{known})|(?P<other>{_PATH})" if known else rf"(?P<root>(?!))|(?P<other>{_PATH})")
    return pattern.sub(lambda match: match["root"] if match["other"] is None else _shorten(match["other"]), text)


def _shorten(path: str) -> str:
    """The last part of a path; what begins with no folder of this machine is no path (a route, a fraction) and stays."""
    first = path.split("/", 2)[1]
    try:
        is_on_disk = Path("/", first).exists()
    except (OSError, ValueError):
        is_on_disk = False
    return f".../{path.rstrip('/').rpartition('/')[2]}" if is_on_disk else path
