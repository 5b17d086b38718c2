"""Reads the header of a WAV file of two channels, I and Q.

Owns the chunks of RIFF, RF64 and BW64, and the centre frequency in the ``auxi`` chunk of SDR programs.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

from actors.files.data_roots import DataRoots
from actors.signals.contents import Capture, Contents, Known
from actors.signals.datatypes import Datatype
from actors.signals.errors import RecordingFormatError, UnreadableRecordingError
from actors.signals.file_names import center_by_name
from actors.signals.raw_files import count_samples, open_file, size_of

_PCM: Final = 1
_FLOAT: Final = 3
_EXTENSIBLE: Final = 0xFFFE
_DATATYPES: Final = {
    (_PCM, 8): Datatype("u", 8),
    (_PCM, 16): Datatype("i", 16),
    (_PCM, 24): Datatype("i", 24),
    (_PCM, 32): Datatype("i", 32),
    (_FLOAT, 32): Datatype("f", 32),
    (_FLOAT, 64): Datatype("f", 64),
}
#: A size that did not fit, or was not known when the header was written.
_NO_SIZE: Final = 0xFFFFFFFF
#: More chunks than any program writes.
_MOST_CHUNKS: Final = 1000
#: Two times of 16 bytes stand before the centre frequency.
_AUXI_CENTER_OFFSET: Final = 32


@dataclass(frozen=True, slots=True)
class _Chunk:
    name: bytes
    offset_bytes: int
    size_bytes: int
    #: Its beginning, as far as headers need it.
    head: bytes


def read_wav(path: Path, roots: DataRoots) -> Contents:
    """Find out what a WAV file holds.

    Raises:
        UnreadableRecordingError: It cannot be read, is cut off, or holds no samples.
        RecordingFormatError: It is no WAV file, has another number of channels than two, or an encoding that is not read.
    """
    with open_file(path, roots) as file:
        size_bytes = size_of(file)
        chunks: dict[bytes, _Chunk] = {}
        for chunk in _chunks(path, file):
            chunks.setdefault(chunk.name, chunk)
    missing = [name.decode().strip() for name in (b"fmt ", b"data") if name not in chunks]
    if missing:
        raise UnreadableRecordingError(f"{path} is cut off or damaged: it has no {missing[0]} chunk", "Record or copy it again.")
    datatype, sample_rate = _read_format(path, chunks[b"fmt "].head)
    data = chunks[b"data"]
    held_bytes, warnings = _data_size(path, data, size_bytes, chunks.get(b"ds64"))
    count = count_samples(path, held_bytes, datatype)
    return Contents(
        data_path=path,
        datatype=datatype,
        captures=(Capture(0, count, None, None, data.offset_bytes),),
        sample_rate=Known(sample_rate, f"the header of {path.name}"),
        center_frequency=_auxi_center(path, chunks.get(b"auxi")) or center_by_name(path),
        warnings=warnings,
    )


def _chunks(path: Path, file: BufferedReader) -> Iterator[_Chunk]:
    """Walk over the chunks, also those behind the samples: some programs write ``auxi`` there."""
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        raise RecordingFormatError(f"{path} is no WAV file: it begins neither with RIFF nor RF64", "Rename it after its content.")
    large_bytes = 0
    for _ in range(_MOST_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return
        name, size_bytes = header[:4], int.from_bytes(header[4:], "little")
        offset_bytes = file.tell()
        chunk = _Chunk(name, offset_bytes, size_bytes, file.read(min(size_bytes, 64)) if name != b"data" else b"")
        if name == b"ds64" and len(chunk.head) >= 16:
            large_bytes = int.from_bytes(chunk.head[8:16], "little")
        yield chunk
        length = large_bytes if name == b"data" and size_bytes == _NO_SIZE else size_bytes
        following = offset_bytes + length + length % 2
        if following >= size_of(file) or (name == b"data" and not length):
            return  # Nothing follows, or it cannot be found: samples are no chunks.
        file.seek(following)


def _read_format(path: Path, head: bytes) -> tuple[Datatype, float]:
    """Understand the ``fmt`` chunk: the datatype and the sample rate."""
    if len(head) < 16:
        raise UnreadableRecordingError(f"{path} has a damaged header: its fmt chunk is cut off", "Record or copy it again.")
    encoding, channels, sample_rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", head)
    if encoding == _EXTENSIBLE and len(head) >= 26:
        encoding = int.from_bytes(head[24:26], "little")
    if channels != 2:
        raise RecordingFormatError(f"{path} has {channels} channel(s); I and Q are two", "Give a recording of I and Q.")
    datatype = _DATATYPES.get((encoding, bits))
    if datatype is None or frame_bytes != datatype.sample_bytes:
        problem = f"{path} has encoding {encoding} with {bits} bits in frames of {frame_bytes} bytes"
        raise RecordingFormatError(problem, "Convert it to 16 bits or to float; compressed WAV is not read.")
    return datatype, float(sample_rate)


def _data_size(path: Path, data: _Chunk, file_bytes: int, large: _Chunk | None) -> tuple[int, tuple[str, ...]]:
    """Tell how many bytes of samples there are, and what is odd about that."""
    there = file_bytes - data.offset_bytes
    told = data.size_bytes
    if told == _NO_SIZE:
        told = int.from_bytes(large.head[8:16], "little") if large and len(large.head) >= 16 else _NO_SIZE
        if told in (0, _NO_SIZE):
            return there, (
                f"{path.name}: the header tells no length, as of an interrupted recording; all samples there were taken",
            )
    if told > there:
        raise UnreadableRecordingError(
            f"{path} is cut off: its header tells {told} bytes of samples, {there} are there",
            "Copy it again, or correct the header if the recording was interrupted.",
        )
    return told, ()


def _auxi_center(path: Path, chunk: _Chunk | None) -> Known | None:
    """Take the centre frequency of an ``auxi`` chunk; some programs put text into it instead, which is passed over."""
    if chunk is None or len(chunk.head) < _AUXI_CENTER_OFFSET + 4 or b"<" in chunk.head[:4]:
        return None
    center = int.from_bytes(chunk.head[_AUXI_CENTER_OFFSET : _AUXI_CENTER_OFFSET + 4], "little")
    return Known(float(center), f"the auxi chunk of {path.name}") if center else None
