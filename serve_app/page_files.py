"""The files of a web page as this process serves them: each read once per change, and written small for those who take it so.

Owns which names are files of the page, and what type each is. What is in them is the page's own affair; nothing else of the machine can
be named here. Blocking: call it in a thread.
"""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Final

INDEX: Final = "index.html"
CHARTS: Final = "vendor/plotly.min.js"
#: Files that come with packages that the lock names, so that there is no copy of them to keep: the package, and where in it.
_OF_PAGE: Final[Mapping[str, tuple[str, str]]] = {CHARTS: ("plotly", "package_data/plotly.min.js")}
_OF_DOCUMENTATION: Final[Mapping[str, tuple[str, str]]] = {
    name: ("fastapi_offline", f"static/{name}") for name in ("swagger-ui-bundle.js", "swagger-ui.css", "redoc.standalone.js")
}
#: Parts that begin with a dot, lead upwards or hold anything unusual name no file of the page.
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}/){0,7}[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
_TEXT_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
}
_TYPES: Final[Mapping[str, str]] = {
    **_TEXT_TYPES,
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
}
#: What is smaller goes in one packet anyway.
_LEAST_PACKED_BYTES: Final = 1_400


@dataclass(frozen=True)
class PageFile:
    """One file's content; it never changes, a changed file is another.

    Attributes:
        content: its bytes.
        media_type: what a browser takes it for.
        packed: the bytes as gzip; None where that saves nothing.
    """

    content: bytes
    media_type: str
    packed: bytes | None

    @cached_property
    def tag(self) -> str:
        """The ETag: weak, since both forms are the same file."""
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:32]}"'


class PageFiles:
    """A page's folder. Invariant: nothing outside of it is ever read, the named files of packages apart."""

    def __init__(self, folder: Path, packaged: Mapping[str, tuple[str, str]] = _OF_PAGE) -> None:
        self._folder = folder
        self._packaged = packaged
        self._found: dict[str, Path | None] = {}
        self._read: dict[str, tuple[tuple[int, int], PageFile]] = {}

    def read(self, name: str) -> PageFile | None:
        """A file of the page, as it is now; None where there is none of this name."""
        path = self._locate(name)
        try:
            status = path.stat() if path is not None else None
            if path is None or status is None or not path.is_file():
                return None
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._read.get(name)
            if known is None or known[0] != stamp:
                known = self._read[name] = (stamp, _load(path))
        except OSError:
            return None
        return known[1]

    def _locate(self, name: str) -> Path | None:
        """Where a file of this name would be; None for what can be none."""
        if name in self._packaged:
            if name not in self._found:
                self._found[name] = _find_packaged(*self._packaged[name])
            return self._found[name]
        if not _NAME.fullmatch(name) or Path(name).suffix not in _TYPES:
            return None
        path = (self._folder / name).resolve()
        return path if path.is_relative_to(self._folder.resolve()) else None


def open_page() -> PageFiles:
    """The files of the web page."""
    return PageFiles(Path(__file__).parent / "ui")


def open_documentation() -> PageFiles:
    """The files of the pages that describe the API."""
    return PageFiles(Path(__file__).parent / "documentation", _OF_DOCUMENTATION)


def _find_packaged(package: str, place: str) -> Path | None:
    """Where a file of a package lies, found without importing the package, which may take long."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec is not None else None
    return Path(places[0]) / place if places else None


def _load(path: Path) -> PageFile:
    content = path.read_bytes()
    packed = None
    if path.suffix in _TEXT_TYPES and len(content) >= _LEAST_PACKED_BYTES:
        packed = gzip.compress(content, compresslevel=6, mtime=0)
    return PageFile(content, _TYPES[path.suffix], packed)
