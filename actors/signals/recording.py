"""Recordings of radio signals: what a file holds, and its samples.

Owns the choice of the reader, the settling of what metadata, name and request say, and the reading of any piece of a recording.
It knows nothing of spectrograms or networks and must not import torch.

Sample rate and centre come from metadata in or beside the file, else from its name, else from the request; two sources that
differ by more than 1 ppm are an error that names both. Nobody guesses.
"""

import math
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from actors.files.data_roots import ANYWHERE, DataRoots
from actors.files.errors import writable
from actors.files.trees import files_below
from actors.signals.contents import Annotation, Capture, Contents, Known
from actors.signals.datatypes import Datatype, Samples, parse_datatype
from actors.signals.errors import (
    NoRecordingsError,
    RecordingFormatError,
    RecordingMetadataError,
    SampleRateError,
)
from actors.signals.file_names import (
    RECORDING_ENDINGS,
    RFUAV_ENDINGS,
    SIGMF_ARCHIVE,
    SIGMF_DATA,
    SIGMF_META,
    TYPED_ENDINGS,
    WAV,
    center_by_name,
    datatype_by_name,
    rate_by_name,
)
from actors.signals.raw_files import SampleFile, count_samples, open_file, size_of
from actors.signals.recipe import RATE_TOLERANCE
from actors.signals.sidecar import read_sidecar
from actors.signals.sigmf_files import dataset_beside, read_archive, read_sigmf
from actors.signals.wav import read_wav

#: SigMF's bound, for rates and frequencies alike.
_MOST_HZ: Final = 1e12
_COLLECTION: Final = ".sigmf-collection"


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds; nothing of it is in memory. Each sample belongs to one capture, and captures follow each other."""

    path: Path
    data_path: Path
    datatype: Datatype
    sample_rate: float
    #: Hz; None where nobody tells, or where the captures differ.
    center_frequency: float | None
    sample_count: int
    captures: tuple[Capture, ...]
    class_label: str | None = None
    description: str | None = None
    annotations: tuple[Annotation, ...] = ()
    #: What the user should know and need not change.
    warnings: tuple[str, ...] = ()
    roots: DataRoots = ANYWHERE

    @property
    def duration_s(self) -> float:
        """Seconds of samples."""
        return self.sample_count / self.sample_rate

    def read(self, first: int, count: int) -> Samples:
        """Read some samples, at the cost of these alone.

        Raises:
            ValueError: The recording has no such samples.
            UnreadableRecordingError: The file is gone, or was cut off meanwhile.
            BadSamplesError: One of them is NaN, infinite, or larger than any receiver gives.
        """
        if not (first >= 0 and count >= 0 and first + count <= self.sample_count):
            raise ValueError(f"samples {first} to {first + count} of {self.path}, which has {self.sample_count}")
        samples = np.empty(count, dtype=np.complex64)
        with open_file(self.data_path, self.roots) as file:
            self._read_into(samples, first, SampleFile(self.path, file, self.datatype))
        return samples

    def _read_into(self, samples: Samples, first: int, source: SampleFile) -> None:
        """Read samples that may belong to several captures, of which there may be thousands."""
        end = first + len(samples)
        number = bisect_right(self.captures, first, key=lambda capture: capture.first) - 1
        for capture in islice(self.captures, number, None):
            if capture.first >= end:
                return
            begin, stop = max(first, capture.first), min(end, capture.first + capture.count)
            offset_bytes = capture.offset_bytes + (begin - capture.first) * self.datatype.sample_bytes
            source.read_into(samples[begin - first : stop - first], offset_bytes)


def open_recording(
    path: Path,
    *,
    sample_rate: float | None = None,
    center_frequency: float | None = None,
    datatype: str | None = None,
    roots: DataRoots = ANYWHERE,
) -> Recording:
    """Find out what a recording holds.

    Args:
        path: A file of RFUAV (.iq, .dat, .bin), SigMF (.sigmf-meta, .sigmf-data, .sigmf), WAV, or one named after its datatype.
        sample_rate: Samples per second, for files that do not tell.
        center_frequency: Hz, for files that do not tell.
        datatype: SigMF's name of it, for files whose ending tells nothing.
        roots: Where all files must lie, links followed.

    Raises:
        UnreadableRecordingError: A file is missing, empty, cut off, no regular file, or outside ``roots``.
        RecordingFormatError: It is of a kind that is not read.
        RecordingMetadataError: Metadata are damaged, or contradict the samples or the request.
        SampleRateError: Nobody tells the sample rate, or it is none.
    """
    wanted = None if datatype is None else parse_datatype(datatype)
    contents = _read_contents(path, wanted, roots)
    if wanted is not None and wanted != contents.datatype:
        raise RecordingMetadataError(
            f"{path} holds {contents.datatype.name} by its header, metadata or name, but the request says {wanted.name}",
            "Leave datatype out, or correct the file's.",
        )
    rate = _settle(path, "sample_rate", contents.sample_rate, sample_rate)
    if rate is None:
        problem = "; ".join((f"nobody tells the sample rate of {path}", *contents.warnings))
        raise SampleRateError(problem, "Give sample_rate, or put it into metadata or the name, as in x_433.92M_250k.cu8.")
    captures = _with_centers(path, contents, center_frequency)
    return _recording(path, replace(contents, captures=captures), rate, roots)


def _recording(path: Path, contents: Contents, sample_rate: float, roots: DataRoots) -> Recording:
    """Put together what was settled."""
    centers = {capture.center_frequency for capture in contents.captures}
    return Recording(
        path=path,
        data_path=contents.data_path,
        datatype=contents.datatype,
        sample_rate=sample_rate,
        center_frequency=centers.pop() if len(centers) == 1 else None,
        sample_count=contents.sample_count,
        captures=contents.captures,
        class_label=contents.class_label,
        description=contents.description,
        annotations=contents.annotations,
        warnings=tuple(map(writable, contents.warnings)),
        roots=roots,
    )


def find_recordings(source: Path, *, exclude: Collection[Path] = (), roots: DataRoots = ANYWHERE) -> tuple[Path, ...]:
    """List the recordings of a file or of a folder tree, sorted by their path within it.

    Each counts once: SigMF data are left out where their metadata are there. Hidden files and folders are left out, and
    links to folders are not followed.

    Args:
        source: A recording, or a folder.
        exclude: Folders to leave out, such as the one that results are written to.
        roots: Where metadata that are looked into must lie.

    Raises:
        NoRecordingsError: There is no recording, or no such file or folder.
        DatasetError: A folder in the tree cannot be listed.
    """
    if not source.exists():
        raise NoRecordingsError(f"there is no file or folder {source}", "Check the path.")
    listed = [source] if source.is_file() else files_below(source, {path.resolve() for path in exclude})
    found = {path for path in listed if path.suffix.lower() in RECORDING_ENDINGS and path.is_file()}
    if source.is_dir():
        found -= {data for path in found if path.suffix.lower() == SIGMF_META for data in _data_of(path, roots)}
    if not found:
        raise NoRecordingsError(f"there is no recording in {source}", f"Give files that end in {', '.join(RECORDING_ENDINGS)}.")
    return tuple(sorted(found, key=lambda path: path.relative_to(source).as_posix()))


def _data_of(meta_path: Path, roots: DataRoots) -> Iterator[Path]:
    """Name the files whose samples metadata describe. Only metadata without data of their name are looked into."""
    own = meta_path.with_suffix(SIGMF_DATA)
    if own.exists():
        yield own
    elif name := dataset_beside(meta_path, roots):
        yield meta_path.parent / name


def _read_contents(path: Path, wanted: Datatype | None, roots: DataRoots) -> Contents:
    """Let the reader of the file's kind look at it."""
    ending = path.suffix.lower()
    if ending in (SIGMF_META, SIGMF_DATA):
        return read_sigmf(path, roots)
    if ending == SIGMF_ARCHIVE:
        return read_archive(path, roots)
    if ending == WAV:
        return read_wav(path, roots)
    if ending == _COLLECTION:
        raise RecordingFormatError(f"{path} is a SigMF collection, not a recording", "Give one of the recordings that it lists.")
    if ending in TYPED_ENDINGS or ending in RFUAV_ENDINGS or wanted is not None:
        return _read_plain(path, wanted, roots)
    raise RecordingFormatError(f"{path} ends in none of {', '.join(RECORDING_ENDINGS)}", "Rename it, or give its datatype.")


def _read_plain(path: Path, wanted: Datatype | None, roots: DataRoots) -> Contents:
    """Look at a file without a header, its XML file and its name."""
    with open_file(path, roots) as file:
        size_bytes = size_of(file)
    sidecar = read_sidecar(path, roots)
    warnings = list(sidecar.warnings)
    if path.suffix.lower() in TYPED_ENDINGS:
        datatype = datatype_by_name(path)
    else:
        datatype = wanted or sidecar.datatype or datatype_by_name(path)
        if sidecar.datatype not in (None, datatype):
            # Forks of RFUAV write other samples beside the original's XML: the request is the only way to read them.
            warnings.append(f"{path.name}: read as {datatype.name} as requested, though its XML file tells another datatype")
    return Contents(
        data_path=path,
        datatype=datatype,
        captures=(Capture(0, count_samples(path, size_bytes, datatype), None, None, 0),),
        sample_rate=sidecar.sample_rate or rate_by_name(path),
        center_frequency=sidecar.center_frequency or center_by_name(path),
        class_label=sidecar.class_label,
        description=sidecar.description,
        warnings=tuple(warnings),
    )


def _with_centers(path: Path, contents: Contents, requested: float | None) -> tuple[Capture, ...]:
    """Give each capture the centre that its own metadata, those of the file or the request tell."""

    def center_of(capture: Capture) -> float | None:
        told = capture.center_frequency
        known = contents.center_frequency if told is None else Known(told, f"the capture at sample {capture.first}")
        return _settle(path, "center_frequency", known, requested)

    return tuple(replace(capture, center_frequency=center_of(capture)) for capture in contents.captures)


def _settle(path: Path, name: str, known: Known | None, requested: float | None) -> float | None:
    """Take what is known, or else what is requested; both must be possible, and agree.

    Raises:
        SampleRateError: A sample rate is no positive number, or beyond every receiver.
        RecordingMetadataError: A frequency is none, or the two differ.
    """
    told = [] if requested is None else [Known(requested, "the request")]
    for each in (*told, *([] if known is None else [known])):
        if not _is_possible(name, each.value):
            problem = f"{path}: {each.source} tells a {name} of {each.value:g}"
            remedy = f"Give a finite {name} in Hz, up to 1e12."
            raise SampleRateError(problem, remedy) if name == "sample_rate" else RecordingMetadataError(problem, remedy)
    if known is None or requested is None:
        return requested if known is None else known.value
    if not math.isclose(known.value, requested, rel_tol=RATE_TOLERANCE):
        raise RecordingMetadataError(
            f"{path}: {known.source} tells a {name} of {known.value:.12g}, but the request says {requested:.12g}",
            f"Leave {name} out of the request, or correct the file's metadata or name.",
        )
    return known.value


def _is_possible(name: str, value: float) -> bool:
    least = 1.0 if name == "sample_rate" else -_MOST_HZ
    return math.isfinite(value) and least <= value <= _MOST_HZ
