"""Recordings are found once each, and real ones are read as they are."""

import os
from pathlib import Path

import numpy as np
import pytest

from actors.files.errors import DatasetError
from actors.signals.errors import NoRecordingsError
from actors.signals.recording import find_recordings, open_recording
from tests.unit.signals.recordings import sigmf_meta, write_sigmf


def test_recordings_are_found_once_each(tmp_path):
    (tmp_path / "a").mkdir()
    write_sigmf(tmp_path / "a", "one", bytes(80))
    for name in ("two.iq", "three.WAV", "four.cu8", "notes.txt", "two.xml", ".hidden.iq", "all.sigmf-collection"):
        (tmp_path / "a" / name).write_bytes(b"")
    (tmp_path / "a/lone.sigmf-data").write_bytes(b"")
    (tmp_path / "a/foreign.sigmf-meta").write_bytes(sigmf_meta("cu8", dataset="five.bin"))
    (tmp_path / "a/five.bin").write_bytes(b"")
    os.mkfifo(tmp_path / "a/pipe.iq")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/six.iq").write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in find_recordings(tmp_path, exclude=[tmp_path / "out"])]
    expected = ["foreign.sigmf-meta", "four.cu8", "lone.sigmf-data", "one.sigmf-meta", "three.WAV", "two.iq"]
    assert found == [f"a/{name}" for name in expected]
    assert find_recordings(tmp_path / "a/one.sigmf-data") == (tmp_path / "a/one.sigmf-data",)


def test_a_source_without_recordings_is_refused(tmp_path):
    for source in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NoRecordingsError, match=str(source)):
            find_recordings(source)


def test_metadata_that_cannot_be_read_are_listed_and_fail_when_opened(tmp_path):
    (tmp_path / "a.sigmf-meta").write_bytes(b"{")
    assert find_recordings(tmp_path) == (tmp_path / "a.sigmf-meta",)


def test_a_folder_that_cannot_be_listed_is_an_error_not_a_gap(tmp_path, monkeypatch):
    (tmp_path / "a.iq").write_bytes(b"")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DatasetError, match="Permission denied"):
        find_recordings(tmp_path)


@pytest.fixture(scope="session")
def data():
    found = Path(os.environ.get("RFUAV_TEST_DATA") or Path(__file__).parents[3].parent / "shared" / "data")
    if not (found / "ism").is_dir():
        pytest.skip("no test data: set RFUAV_TEST_DATA")
    return found


def test_real_recordings_of_rtl_433_are_read(data):
    paths = find_recordings(data / "ism")
    recordings = [open_recording(path) for path in paths]
    assert len(recordings) == 86
    assert {recording.sample_rate for recording in recordings} == {250e3}
    assert {recording.center_frequency for recording in recordings} == {433.92e6, 868.3e6}
    samples = recordings[0].read(0, recordings[0].sample_count)
    assert np.array_equal(samples, reference_cu8(paths[0]))
    assert abs(samples.mean()) < 0.02


def reference_cu8(path):
    values = (np.fromfile(path, dtype=np.uint8).astype(np.float32) - np.float32(127.5)) * np.float32(1 / 127.5)
    return values[0::2] + 1j * values[1::2]


def test_the_real_recording_of_a_drone_is_read(data):
    (path,) = find_recordings(data / "dji_droneid")
    recording = open_recording(path, sample_rate=50e6, center_frequency=2457.5e6)
    assert (recording.sample_count, recording.class_label, len(recording.annotations)) == (225_280, "DroneID", 4)
    assert recording.annotations[3].first + recording.annotations[3].count == recording.sample_count
    expected = np.fromfile(path.with_suffix(".sigmf-data"), dtype="<c8")
    assert np.array_equal(recording.read(0, recording.sample_count), expected)
    burst = recording.annotations[0]
    power = np.abs(expected[burst.first : burst.first + burst.count]) ** 2
    assert power.mean() > 2 * np.median(np.abs(expected) ** 2)
