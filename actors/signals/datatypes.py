"""The datatypes of samples, under SigMF's names, and their way to complex float32.

Owns the scaling, which is the same on every host and for every kind of file:

- floating point is taken as it is, never normalised;
- signed integers of n bits are divided by 2^(n-1): [-1, 1);
- unsigned integers lie around (2^n - 1) / 2 and are divided by it: [-1, 1]. For ``cu8`` that is (x - 127.5) / 127.5, the middle
  of an RTL-SDR's converter: its noise has no offset from half a step.

It knows nothing of files.
"""

import re
import sys
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from actors.signals.errors import RecordingFormatError

Samples = NDArray[np.complex64]
Content = bytes | bytearray | memoryview

_PATTERN: Final = re.compile(r"(?P<shape>[cr])(?P<kind>[fiu])(?P<bits>\d+)(?:_(?P<order>le|be))?")
#: SigMF has no values of 24 bits; WAV has.
_BITS: Final = {"f": (32, 64), "i": (8, 16, 24, 32), "u": (8, 16, 32)}


@dataclass(frozen=True, slots=True)
class Datatype:
    """How one complex sample is stored: two values of ``bits`` bits, I before Q. Make it with ``parse_datatype``."""

    kind: Literal["f", "i", "u"]
    bits: int
    is_big_endian: bool = False

    @property
    def name(self) -> str:
        """SigMF's name, such as ``ci16_le``."""
        order = "" if self.bits == 8 else "_be" if self.is_big_endian else "_le"
        return f"c{self.kind}{self.bits}{order}"

    @property
    def sample_bytes(self) -> int:
        """Bytes of one complex sample."""
        return self.bits // 4

    @property
    def is_native(self) -> bool:
        """Tell whether stored samples are complex64 of this host already."""
        return self.kind == "f" and self.bits == 32 and self.is_big_endian == (sys.byteorder == "big")

    def decode(self, content: Content) -> Samples:
        """Turn stored samples into complex float32.

        Raises:
            ValueError: ``content`` ends within a sample.
        """
        samples = np.empty(len(content) // self.sample_bytes, dtype=np.complex64)
        self.decode_into(content, samples)
        return samples

    def decode_into(self, content: Content, samples: Samples) -> None:
        """Turn stored samples into complex float32 in an array of just as many.

        It goes over the array several times: give it pieces that fit the processor's cache.
        """
        values, stored = samples.view(np.float32), self._stored(content)
        if self.kind == "u":
            _centre(stored, values, (2**self.bits - 1) / 2)
            return
        with np.errstate(over="ignore"):
            np.copyto(values, stored, casting="unsafe")
        if self.kind == "i":
            # Values of 24 bits were placed in the upper part of 32.
            values *= np.float32(2.0 ** -(31 if self.bits == 24 else self.bits - 1))

    def _stored(self, content: Content) -> NDArray[np.generic]:
        """View stored values as numbers."""
        order = ">" if self.is_big_endian else "<"
        if self.bits != 24:
            return np.frombuffer(content, dtype=f"{order}{self.kind}{self.bits // 8}")
        triples = np.frombuffer(content, dtype=np.uint8).reshape(-1, 3)
        padded = np.zeros((len(triples), 4), dtype=np.uint8)
        padded[:, slice(0, 3) if self.is_big_endian else slice(1, 4)] = triples
        return padded.view(f"{order}i4").reshape(-1)


#: What an RFUAV file holds.
CF32: Final = Datatype("f", 32)


def parse_datatype(text: str) -> Datatype:
    """Read SigMF's name of a datatype; ``cs`` stands for ``ci`` too, and values without an order are little endian.

    Raises:
        RecordingFormatError: There is no such datatype, or it is one of real samples.
    """
    name = text.strip().lower()
    match = _PATTERN.fullmatch(f"ci{name[2:]}" if name.startswith("cs") else name)
    if match is None or int(match["bits"]) not in _BITS[match["kind"]]:
        raise RecordingFormatError(f"{text!r} is no datatype of samples", "Give one as cf32_le, ci16_be or cu8.")
    if match["shape"] == "r":
        # Their analytic signal has half the band around another centre: the caller's recipe would be wrong in silence.
        raise RecordingFormatError(
            f"{text!r} is a datatype of real samples, which hold no drone's band around a centre",
            "Convert the recording to complex samples (I and Q) first.",
        )
    kind: Literal["f", "i", "u"] = "f" if match["kind"] == "f" else "i" if match["kind"] == "i" else "u"
    return Datatype(kind, int(match["bits"]), match["order"] == "be" and match["bits"] != "8")


def _centre(stored: NDArray[np.generic], values: NDArray[np.float32], middle: float) -> None:
    """Bring unsigned integers around zero."""
    if stored.dtype.itemsize == 4:
        # A float32 is too coarse around the middle of 32 bits.
        np.copyto(values, (stored.astype(np.float64) - middle) / middle, casting="unsafe")
        return
    np.copyto(values, stored, casting="unsafe")
    values -= np.float32(middle)
    values *= np.float32(1 / middle)
