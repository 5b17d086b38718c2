"""Opens recordings and reads pieces of them.

Owns the bounds (data roots, no device, no pipe) and the words for what can go wrong with a file, and how samples come
from disk into memory. They are read, not mapped: a mapped file that another program shortens kills the process that looks
at it, and its pages count as this process's memory.
"""

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final

import numpy as np

from actors.files.data_roots import DataRoots, NoRegularFileError, OutsideRootsError
from actors.signals.datatypes import Datatype, Samples
from actors.signals.errors import BadSamplesError, UnreadableRecordingError

#: Samples decoded at once: their stored and their decoded form fit a core's cache.
_BLOCK_SAMPLES: Final = 1 << 16
#: No receiver gives more, and the power in a spectrum of more would not fit a float32.
_LARGEST: Final = 1e12


def open_file(path: Path, roots: DataRoots) -> BufferedReader:
    """Open a file of a recording.

    Raises:
        UnreadableRecordingError: It is missing, no regular file, leads out of ``roots``, or may not be read.
    """
    try:
        return roots.open(path)
    except OutsideRootsError as error:
        raise UnreadableRecordingError(error.message, error.hint) from error
    except NoRegularFileError as error:
        raise UnreadableRecordingError(f"{path} is no regular file", "Give the file of a recording.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnreadableRecordingError(f"cannot read {path}: {reason}", "Check the path and the file's rights.") from error


def size_of(file: BufferedReader) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size


def read_small(path: Path, roots: DataRoots, *, limit_bytes: int) -> bytes:
    """Read a whole small file, such as metadata.

    Raises:
        UnreadableRecordingError: As ``open_file``; or it is larger than ``limit_bytes``.
    """
    with open_file(path, roots) as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise UnreadableRecordingError(f"{path} has more than {limit_bytes} bytes", "Metadata are small: is it another file?")
    return content


def count_samples(path: Path, size_bytes: int, datatype: Datatype) -> int:
    """Tell how many samples a stretch of bytes holds.

    Raises:
        UnreadableRecordingError: None, or it ends within a sample.
    """
    if size_bytes <= 0:
        raise UnreadableRecordingError(f"{path} holds no samples", "Leave the file out.")
    count, excess = divmod(size_bytes, datatype.sample_bytes)
    if excess:
        raise UnreadableRecordingError(
            f"{path} ends within a sample: {size_bytes} bytes are {count} samples of {datatype.name} and {excess} bytes too many",
            f"If the recording was cut off, cut these {excess} bytes off as well; if it holds another datatype, name that.",
        )
    return count


@dataclass(frozen=True, slots=True)
class SampleFile:
    """An open data file. The caller closes it."""

    path: Path
    file: BufferedReader
    datatype: Datatype

    def read_into(self, samples: Samples, offset_bytes: int) -> None:
        """Fill an array with the samples that begin at a position of the file.

        Raises:
            UnreadableRecordingError: The file ends before, or cannot be read.
            BadSamplesError: A sample is NaN, infinite, or larger than any receiver gives.
        """
        is_sound = True
        for begin in range(0, len(samples), _BLOCK_SAMPLES):
            block = samples[begin : begin + _BLOCK_SAMPLES]
            self._read_block(block, offset_bytes + begin * self.datatype.sample_bytes)
            if self.datatype.kind == "f":
                # One pass while the block is in the cache; sound values may have such a sum, so it only raises suspicion.
                with np.errstate(all="ignore"):
                    is_sound &= bool(np.abs(block.view(np.float32).sum()) <= _LARGEST)
        if not is_sound:
            self._require_sound(samples, offset_bytes)

    def _read_block(self, block: Samples, offset_bytes: int) -> None:
        """Read a few samples, straight to where they belong if they need no decoding."""
        if self.datatype.is_native:
            self._fill(block.view(np.uint8).data, offset_bytes)
            return
        stored = bytearray(len(block) * self.datatype.sample_bytes)
        self._fill(memoryview(stored), offset_bytes)
        self.datatype.decode_into(stored, block)

    def _fill(self, buffer: memoryview, offset_bytes: int) -> None:
        """Fill a buffer from a position; the system may give less at once."""
        done = 0
        while done < len(buffer):
            try:
                got = os.preadv(self.file.fileno(), [buffer[done:]], offset_bytes + done)
            except OSError as error:
                raise UnreadableRecordingError(f"cannot read {self.path}: {error.strerror}", "Check the disk.") from error
            if not got:
                problem = f"{self.path} became shorter while it was read: it ends at byte {offset_bytes + done}"
                raise UnreadableRecordingError(problem, "Do not change recordings that are in use.")
            done += got

    def _require_sound(self, samples: Samples, offset_bytes: int) -> None:
        """Refuse samples that are no numbers, or so large that what is computed from them would be none.

        Raises:
            BadSamplesError: There is one.
        """
        values = np.abs(samples.view(np.float32)).reshape(-1, 2).max(axis=1)
        bad = np.flatnonzero(~(values <= _LARGEST))
        if len(bad):
            raise BadSamplesError(
                f"{self.path}: {len(bad)} of {len(samples)} samples read as {self.datatype.name} are NaN, infinite or beyond {_LARGEST:g}, "
                f"the first at byte {offset_bytes + int(bad[0]) * self.datatype.sample_bytes}",
                "Does the file hold another datatype, such as ci16_le? Name it, or repair the file.",
            )
