"""Finds fonts for texts of any script, for whatever draws on pictures.

Owns which fonts are looked for and what becomes of letters that none of them has. It knows nothing of pictures.
"""

import unicodedata
from functools import lru_cache
from typing import Final, cast

from PIL import ImageFont

#: Fonts with many scripts, by the names that Linux, Windows and macOS keep them under.
_SYSTEM_FONTS: Final = (
    "NotoSansCJK-Regular.ttc",
    "wqy-microhei.ttc",
    "msyh.ttc",
    "PingFang.ttc",
    "Arial Unicode.ttf",
    "DejaVuSans.ttf",
)
#: A code point that no font has, so that drawing it shows what a font puts in place of a missing letter.
_MISSING_LETTER: Final = "\uffff"
#: Height at which letters are looked for.
_PROBE_SIZE: Final = 45


@lru_cache(maxsize=1024)
def choose_font(text: str) -> tuple[str | None, str]:
    """Find a font with every letter of a text; failing that, return the text with its foreign letters escaped.

    Line breaks and the like are escaped in any case: the name of a file may hold them, and what draws it draws one line.
    """
    text = "".join(_on_one_line(letter) for letter in text)
    for name in (None, *_SYSTEM_FONTS):
        if _has_letters(name, text):
            return name, text
    return None, text.encode("ascii", "backslashreplace").decode("ascii")


def _on_one_line(letter: str) -> str:
    """Escape a letter that is none."""
    is_drawn = unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp")
    return letter if is_drawn else letter.encode("unicode_escape").decode("ascii")


def _has_letters(font_name: str | None, text: str) -> bool:
    """Tell whether a font is installed and has every letter of a text."""
    try:
        font = load_font(font_name, _PROBE_SIZE)
    except OSError:
        return False
    missing = bytes(font.getmask(_MISSING_LETTER))
    return all(letter.isspace() or bytes(font.getmask(letter)) != missing for letter in set(text))


@lru_cache(maxsize=128)
def load_font(name: str | None, size: int) -> ImageFont.FreeTypeFont:
    """Load a font of the system by its name, or the one that comes with Pillow."""
    if name is not None:
        return ImageFont.truetype(name, size)
    # Without a size it would be a bitmap font; with one it is FreeType's, which Pillow's wheels contain.
    return cast("ImageFont.FreeTypeFont", ImageFont.load_default(size))
