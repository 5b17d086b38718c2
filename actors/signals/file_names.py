"""What the name of a recording tells: the datatype, and for some tools the sample rate and the centre.

Owns the endings and these conventions. Names are the weakest source: metadata in or beside a file go first.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from actors.signals.contents import Known
from actors.signals.datatypes import CF32, Datatype

#: Endings of files without a header, in lower case. RFUAV's say nothing of a datatype; its own is float32.
RFUAV_ENDINGS: Final = (".iq", ".dat", ".bin")
_TYPED: Final = {
    Datatype("f", 32): (".cf32", ".fc32", ".cfile", ".complex", ".complex64"),
    Datatype("f", 64): (".cf64", ".fc64", ".complex128"),
    Datatype("i", 8): (".cs8", ".ci8", ".sc8", ".complex16s"),
    Datatype("u", 8): (".cu8", ".complex16u"),
    Datatype("i", 16): (".cs16", ".ci16", ".sc16", ".complex32s"),
    Datatype("u", 16): (".cu16", ".complex32u"),
    Datatype("i", 32): (".cs32", ".ci32", ".sc32"),
    Datatype("u", 32): (".cu32",),
}
#: The datatype that an ending tells.
TYPED_ENDINGS: Final[Mapping[str, Datatype]] = MappingProxyType(
    {ending: datatype for datatype, endings in _TYPED.items() for ending in endings}
)
RAW_ENDINGS: Final = (*RFUAV_ENDINGS, *TYPED_ENDINGS)
SIGMF_META: Final = ".sigmf-meta"
SIGMF_DATA: Final = ".sigmf-data"
SIGMF_ARCHIVE: Final = ".sigmf"
WAV: Final = ".wav"
#: What a recording's file may end in, in any case.
RECORDING_ENDINGS: Final = (SIGMF_META, SIGMF_DATA, SIGMF_ARCHIVE, WAV, *RAW_ENDINGS)

_NUMBER: Final = r"(\d{1,15}(?:\.\d{1,15})?)"
_END: Final = r"(?=$|[_\s.()-])"
#: rtl_433's pair, such as ``_433.92M_250k``. One of the two alone could mean anything: a "5M" may be five metres.
_RTL_433: Final = re.compile(rf"(?:^|[_\s]){_NUMBER}M_{_NUMBER}k{_END}")
_RATE: Final = re.compile(rf"(?:^|[_\s-]){_NUMBER}([kMG]?)(?:sps|S/s){_END}", re.IGNORECASE)
_CENTER: Final = re.compile(rf"(?:^|[_\s-]){_NUMBER}([kMG]?)Hz{_END}", re.IGNORECASE)
SCALE: Final[Mapping[str, float]] = MappingProxyType({"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9})


def datatype_by_name(path: Path) -> Datatype:
    """Tell the datatype that a file without a header has by its ending."""
    return TYPED_ENDINGS.get(path.suffix.lower(), CF32)


def rate_by_name(path: Path) -> Known | None:
    """Tell the sample rate in a name such as ``g001_433.92M_250k.cu8`` or ``pack_100Msps.iq``."""
    return _known(path, pair_member=2, pair_scale=1e3, unit=_RATE)


def center_by_name(path: Path) -> Known | None:
    """Tell the centre frequency in a name such as ``g001_433.92M_250k.cu8`` or ``HDSDR_20160101_120000Z_433920kHz_RF.wav``."""
    return _known(path, pair_member=1, pair_scale=1e6, unit=_CENTER)


def _known(path: Path, *, pair_member: int, pair_scale: float, unit: re.Pattern[str]) -> Known | None:
    """Take the last of what a name tells: tools put it at the end."""
    stem, source = path.stem, f"the name {path.name}"
    if pairs := list(_RTL_433.finditer(stem)):
        # Rounded to what was written: 433.92 times a million is not quite a whole number.
        return Known(round(float(pairs[-1][pair_member]) * pair_scale, 3), source)
    if matches := list(unit.finditer(stem)):
        number, prefix = matches[-1].groups()
        return Known(round(float(number) * SCALE[prefix.lower()], 3), source)
    return None
