"""No damage to a header or to metadata brings anything but an error that names the file."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actors.signals.errors import SignalError
from actors.signals.recording import open_recording
from tests.unit.signals.recordings import auxi, rf64, sigmf_meta, wav, write_archive

SAMPLES = bytes(range(80))
META = sigmf_meta(
    "ci8",
    captures=[{"core:sample_start": 0, "core:datetime": "2025-01-02T03:04:05Z", "core:header_bytes": 0}],
    annotations=[{"core:sample_start": 0, "core:sample_count": 5, "core:label": "x", "core:freq_lower_edge": 1.0}],
    dataset="a.bin",
)
XML = b'<?xml version="1.0" encoding="utf-8"?><a><SampleRate unit="MHz">100</SampleRate><DataType>int8</DataType></a>'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged")


@pytest.fixture(scope="module")
def archive(folder):
    return write_archive(folder / "whole.tar", {"a.sigmf-meta": META, "a.bin": SAMPLES}).read_bytes()


def damage(content, edits, cut):
    changed = bytearray(content)
    for position, value in edits:
        changed[position % len(changed)] = value
    return bytes(changed[:cut] if cut is not None else changed)


def read_all(path):
    recording = open_recording(path, sample_rate=1e6)
    assert 0 < recording.sample_count <= 200
    assert sum(capture.count for capture in recording.captures) == recording.sample_count
    for first in range(recording.sample_count - 2):
        assert len(recording.read(first, 3)) == 3
    assert len(recording.read(0, recording.sample_count)) == recording.sample_count


def read_or_refuse(path):
    """Read everything, or fail in the one way that is allowed."""
    told = None
    try:
        read_all(path)
    except SignalError as error:
        told = error
    assert told is None or (path.stem in told.message and told.hint)


EDITS = st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 255)), max_size=4)
CUTS = st.none() | st.integers(0, 400)


@settings(deadline=None, max_examples=80)
@given(kind=st.sampled_from([wav(SAMPLES, extra=auxi(5)), rf64(SAMPLES)]), edits=EDITS, cut=CUTS)
@example(kind=wav(SAMPLES), edits=[(40, 255), (41, 255), (42, 255), (43, 255)], cut=None)
def test_damaged_wav(folder, kind, edits, cut):
    (folder / "a.wav").write_bytes(damage(kind, edits, cut))
    read_or_refuse(folder / "a.wav")


@settings(deadline=None, max_examples=80)
@given(edits=EDITS, cut=CUTS)
def test_damaged_metadata(folder, edits, cut):
    (folder / "a.bin").write_bytes(SAMPLES)
    (folder / "a.sigmf-meta").write_bytes(damage(META, edits, cut))
    read_or_refuse(folder / "a.sigmf-meta")


@settings(deadline=None, max_examples=80)
@given(
    # Most of an archive is padding: aim at its two headers and at the metadata.
    edits=st.lists(
        st.tuples(st.sampled_from([*range(1024), *range(1024, 1700, 3)]), st.sampled_from([0, 32, 48, 55, 65, 128, 255])),
        max_size=4,
    ),
    cut=st.none() | st.integers(0, 4000),
)
def test_damaged_archive(folder, archive, edits, cut):
    (folder / "a.sigmf").write_bytes(damage(archive, edits, cut))
    read_or_refuse(folder / "a.sigmf")


@settings(deadline=None, max_examples=80)
@given(edits=EDITS, cut=CUTS)
def test_damaged_sidecar(folder, edits, cut):
    (folder / "b.iq").write_bytes(SAMPLES)
    (folder / "b.xml").write_bytes(damage(XML, edits, cut))
    read_or_refuse(folder / "b.iq")


#: Values of the right kind for JSON, but of no meaning.
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just([]) | st.just({})


@settings(deadline=None, max_examples=60)
@given(
    head=st.dictionaries(
        st.sampled_from(
            [
                "sample_rate",
                "offset",
                "num_channels",
                "trailing_bytes",
                "dataset",
                "extensions",
                "sha512",
                "description",
                "metadata_only",
            ]
        ),
        VALUES,
        max_size=3,
    ),
    capture=st.dictionaries(st.sampled_from(["sample_start", "frequency", "datetime", "header_bytes"]), VALUES, max_size=3),
    annotation=st.dictionaries(
        st.sampled_from(["sample_start", "sample_count", "freq_lower_edge", "freq_upper_edge", "label"]), VALUES, max_size=3
    ),
)
def test_metadata_without_sense(folder, head, capture, annotation):
    (folder / "c.sigmf-data").write_bytes(SAMPLES)
    meta = sigmf_meta(
        "ci8",
        captures=[{f"core:{name}": value for name, value in capture.items()}],
        annotations=[{"core:sample_start": 0} | {f"core:{name}": value for name, value in annotation.items()}],
        **head,
    )
    (folder / "c.sigmf-meta").write_bytes(meta)
    read_or_refuse(folder / "c.sigmf-meta")
