"""A recording gives the samples that were written, whatever kind of file holds them, and knows what is told of it."""

import os
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.signals.errors import UnreadableRecordingError
from actors.signals.recording import open_recording
from tests.unit.signals.recordings import (
    DATATYPES,
    auxi,
    chunk,
    encode,
    make_samples,
    rf64,
    sigmf_meta,
    step_of,
    wav,
    write_archive,
    write_sigmf,
)

SAMPLES = make_samples(1000)
RFUAV_XML = """<?xml version="1.0"?><Root><Info><DeviceType>X310</DeviceType><Drone>DJI MINI3</Drone></Info>
<Signal xmlns="urn:x"><CenterFrequency>2.44GHz</CenterFrequency><SampleRate>100 MHz</SampleRate></Signal></Root>"""


def assert_holds(recording, samples, datatype="cf32_le"):
    assert recording.sample_count == len(samples)
    read = recording.read(0, recording.sample_count)
    assert np.abs((read - samples).view(np.float32)).max() <= 0.51 * step_of(datatype) + 1e-7


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_of_sigmf_round_trips(tmp_path, datatype):
    path = write_sigmf(tmp_path, "a", encode(SAMPLES, datatype), datatype=datatype)
    recording = open_recording(path)
    assert recording.datatype.name == datatype
    assert_holds(recording, SAMPLES, datatype)
    assert_holds(open_recording(path.with_suffix(".sigmf-data")), SAMPLES, datatype)
    members = {"a/a.sigmf-data": encode(SAMPLES, datatype), "a/a.sigmf-meta": path.read_bytes()}
    assert_holds(open_recording(write_archive(tmp_path / "b.sigmf", members)), SAMPLES, datatype)


@pytest.mark.parametrize(
    ("name", "datatype"),
    [
        ("a.iq", "cf32_le"),
        ("a.DAT", "cf32_le"),
        ("a.bin", "cf32_le"),
        ("a.cs8", "ci8"),
        ("a.cs16", "ci16_le"),
        ("a.cu8", "cu8"),
        ("a.CU8", "cu8"),
        ("a.cu16", "cu16_le"),
        ("a.cs32", "ci32_le"),
        ("a.cf32", "cf32_le"),
        ("a.cfile", "cf32_le"),
        ("a.complex", "cf32_le"),
        ("a.complex64", "cf32_le"),
        ("a.complex128", "cf64_le"),
        ("a.complex16s", "ci8"),
        ("a.complex16u", "cu8"),
        ("a.complex32s", "ci16_le"),
    ],
)
def test_an_ending_tells_the_datatype(tmp_path, name, datatype):
    (tmp_path / name).write_bytes(encode(SAMPLES, datatype))
    recording = open_recording(tmp_path / name, sample_rate=1e6)
    assert recording.datatype.name == datatype
    assert recording.center_frequency is None
    assert_holds(recording, SAMPLES, datatype)


def test_a_fork_of_rfuav_is_read_with_its_datatype_named_whatever_the_originals_sidecar_says(tmp_path):
    (tmp_path / "a.iq").write_bytes(encode(SAMPLES, "ci16_le"))
    (tmp_path / "a.xml").write_text("<a><DataType>float32</DataType></a>")
    recording = open_recording(tmp_path / "a.iq", sample_rate=20e6, datatype="ci16")
    assert_holds(recording, SAMPLES, "ci16_le")
    assert "another datatype" in recording.warnings[0]


@pytest.mark.parametrize(
    ("name", "rate", "center"),
    [
        ("g001_433.92M_250k.cu8", 250e3, 433.92e6),
        ("x__s01_gfile003_868.3M_1000k.cu8", 1e6, 868.3e6),
        ("a_2440MHz_100Msps.cu8", 100e6, 2440e6),
        ("a_20MS-s 5.8GHz_20MSPS.cu8", 20e6, 5.8e9),
    ],
)
def test_a_name_tells_rate_and_center(tmp_path, name, rate, center):
    (tmp_path / name).write_bytes(b"\x80" * 20)
    recording = open_recording(tmp_path / name)
    assert (recording.sample_rate, recording.center_frequency) == (rate, center)


def test_a_lone_number_in_a_name_tells_nothing(tmp_path):
    (tmp_path / "flight_5M.iq").write_bytes(bytes(80))
    assert open_recording(tmp_path / "flight_5M.iq", sample_rate=1e6).center_frequency is None


def test_rfuavs_sidecar_is_read_at_any_depth(tmp_path):
    (tmp_path / "pack1_0-1s.iq").write_bytes(bytes(80))
    (tmp_path / "pack1_1-2s.iq").write_bytes(bytes(80))
    (tmp_path / "DJI MINI3.xml").write_text(RFUAV_XML)
    recording = open_recording(tmp_path / "pack1_0-1s.iq")
    assert (recording.sample_rate, recording.center_frequency) == (100e6, 2.44e9)
    assert (recording.class_label, recording.description, recording.warnings) == ("DJI MINI3", "X310", ())


def test_the_sidecar_of_another_recording_is_not_taken(tmp_path):
    for name in ("a.iq", "b.iq"):
        (tmp_path / name).write_bytes(bytes(80))
    (tmp_path / "a.xml").write_text(RFUAV_XML)
    assert open_recording(tmp_path / "b.iq", sample_rate=1e6).center_frequency is None
    (tmp_path / "b.xml").write_text(RFUAV_XML.replace("2.44GHz", "5.8e9"))
    assert open_recording(tmp_path / "b.iq").center_frequency == 5.8e9


def test_a_folder_is_listed_once_for_all_its_recordings_until_it_changes(tmp_path, monkeypatch):
    listed = []
    list_names = os.scandir
    monkeypatch.setattr("actors.signals.sidecar.os.scandir", lambda folder: listed.append(folder) or list_names(folder))
    for name in ("a.iq", "b.iq", "c.iq"):
        (tmp_path / name).write_bytes(bytes(80))
    os.utime(tmp_path, (1e9, 1e9))
    assert [open_recording(tmp_path / name, sample_rate=1e6).center_frequency for name in ("a.iq", "b.iq", "c.iq")] == [None] * 3
    assert listed == [tmp_path]
    (tmp_path / "drone.xml").write_text(RFUAV_XML)
    assert open_recording(tmp_path / "a.iq").center_frequency == 2.44e9


def test_a_folder_that_cannot_be_listed_is_an_error_of_the_recording(tmp_path, monkeypatch):
    (tmp_path / "a.iq").write_bytes(bytes(80))

    def refuse(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr("actors.signals.sidecar.os.scandir", refuse)
    with pytest.raises(UnreadableRecordingError, match=r"XML file beside .*a\.iq: Permission denied"):
        open_recording(tmp_path / "a.iq", sample_rate=1e6)


@pytest.mark.parametrize(
    ("written", "rate"),
    [("100 MHz", 1e8), ("100MHz", 1e8), ("1e8", 1e8), ("100000000", 1e8), ("100000 kHz", 1e8), ("100M", 1e8), ("100.0 MS/s", 1e8)],
)
def test_units_in_a_sidecar_are_tolerated(tmp_path, written, rate):
    (tmp_path / "a.iq").write_bytes(bytes(80))
    (tmp_path / "a.xml").write_text(f"<a><SAMPLERATE> {written}\n</SAMPLERATE></a>")
    assert open_recording(tmp_path / "a.iq").sample_rate == rate


def test_a_unit_may_be_an_attribute(tmp_path):
    (tmp_path / "a.iq").write_bytes(bytes(80))
    (tmp_path / "a.xml").write_text('<a><SampleRate unit="MHz">100</SampleRate></a>')
    assert open_recording(tmp_path / "a.iq").sample_rate == 1e8


@pytest.mark.parametrize(
    ("options", "datatype"),
    [
        ({"bits": 16}, "ci16_le"),
        ({"bits": 8}, "cu8"),
        ({"bits": 32}, "ci32_le"),
        ({"bits": 32, "encoding": 3}, "cf32_le"),
        ({"bits": 64, "encoding": 3}, "cf64_le"),
    ],
)
@pytest.mark.parametrize("build", [wav, rf64])
def test_wav_round_trips(tmp_path, build, options, datatype):
    (tmp_path / "a.wav").write_bytes(build(encode(SAMPLES, datatype), rate=2_400_000, **options))
    recording = open_recording(tmp_path / "a.wav")
    assert (recording.sample_rate, recording.center_frequency) == (2.4e6, None)
    assert_holds(recording, SAMPLES, datatype)


def test_wav_of_24_bits_round_trips(tmp_path):
    upper = np.frombuffer(encode(SAMPLES, "ci32_le"), dtype=np.uint8).reshape(-1, 4)[:, 1:]
    (tmp_path / "a.wav").write_bytes(wav(upper.tobytes(), bits=24))
    assert_holds(open_recording(tmp_path / "a.wav"), SAMPLES, "ci16_le")


def test_chunks_around_the_samples_of_a_wav_are_passed_over(tmp_path):
    extra = chunk(b"LIST", b"odd") + auxi(433_920_000)
    content = wav(encode(SAMPLES, "ci16_le"), extra=extra) + chunk(b"junk", b"12345678")
    (tmp_path / "HDSDR_20160101_120000Z_100kHz_RF.wav").write_bytes(content)
    recording = open_recording(tmp_path / "HDSDR_20160101_120000Z_100kHz_RF.wav")
    assert recording.center_frequency == 433_920_000
    assert_holds(recording, SAMPLES, "ci16_le")


def test_an_auxi_chunk_behind_the_samples_is_found(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(encode(SAMPLES[:3], "cu8"), bits=8) + auxi(868_300_000))
    assert open_recording(tmp_path / "a.wav").center_frequency == 868_300_000


def test_text_in_an_auxi_chunk_is_passed_over(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(bytes(80), extra=chunk(b"auxi", b"<?xml version='1.0'?><a>" + b" " * 40)))
    assert open_recording(tmp_path / "a.wav").center_frequency is None


def test_the_name_of_a_wav_tells_the_center_if_nothing_else_does(tmp_path):
    (tmp_path / "HDSDR_20160101_120000Z_433920kHz_RF.wav").write_bytes(wav(bytes(80)))
    assert open_recording(tmp_path / "HDSDR_20160101_120000Z_433920kHz_RF.wav").center_frequency == 433_920_000


def test_a_wav_whose_header_was_never_finished_is_read_to_its_end_with_a_warning(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(encode(SAMPLES, "ci16_le"), data_size=0xFFFFFFFF))
    recording = open_recording(tmp_path / "a.wav")
    assert "interrupted" in recording.warnings[0]
    assert_holds(recording, SAMPLES, "ci16_le")


def test_captures_keep_their_frequencies_and_headers_between_them_are_passed_over(tmp_path):
    content = b"HEAD" + encode(SAMPLES[:300], "cu8") + b"HEADHEAD" + encode(SAMPLES[300:], "cu8") + b"TAIL!"
    captures = [
        {"core:sample_start": 0, "core:header_bytes": 4, "core:frequency": 1e9, "core:datetime": "2025-01-02T03:04:05.5Z"},
        {"core:sample_start": 300, "core:header_bytes": 8, "core:frequency": 2e9, "core:datetime": "2025-01-02T03:04:60Z"},
    ]
    meta = sigmf_meta("cu8", captures=captures, dataset="a.raw", trailing_bytes=5)
    (tmp_path / "a.sigmf-meta").write_bytes(meta)
    (tmp_path / "a.raw").write_bytes(content)
    recording = open_recording(tmp_path / "a.sigmf-meta")
    first, second = recording.captures
    assert (first.first, first.count, first.center_frequency) == (0, 300, 1e9)
    assert (second.first, second.count, second.center_frequency) == (300, 700, 2e9)
    assert first.started_at == datetime(2025, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    assert second.started_at is None
    assert recording.center_frequency is None
    assert_holds(recording, SAMPLES, "cu8")
    assert np.array_equal(recording.read(290, 20), recording.read(0, 1000)[290:310])


def test_samples_before_the_first_capture_belong_to_one_of_which_nothing_is_told(tmp_path):
    captures = [{"core:sample_start": 400, "core:frequency": 1e9}]
    recording = open_recording(write_sigmf(tmp_path, "a", encode(SAMPLES, "cu8"), datatype="cu8", captures=captures))
    assert [(each.first, each.count, each.center_frequency) for each in recording.captures] == [(0, 400, None), (400, 600, 1e9)]


def test_indexes_of_a_part_of_a_recording_count_from_its_offset(tmp_path):
    captures = [{"core:sample_start": 5000}, {"core:sample_start": 5400}]
    annotations = [{"core:sample_start": 5100, "core:sample_count": 10, "core:label": "x"}]
    path = write_sigmf(
        tmp_path, "a", encode(SAMPLES, "cu8"), datatype="cu8", captures=captures, annotations=annotations, offset=5000
    )
    recording = open_recording(path)
    assert [each.first for each in recording.captures] == [0, 400]
    assert (recording.annotations[0].first, recording.class_label) == (100, "x")


def test_annotations_that_disagree_give_no_class(tmp_path):
    annotations = [{"core:sample_start": 0, "core:label": label} for label in ("a", "b")]
    recording = open_recording(write_sigmf(tmp_path, "a", bytes(80), annotations=annotations))
    assert recording.class_label is None
    assert [each.label for each in recording.annotations] == ["a", "b"]


def test_an_annotation_that_reaches_too_far_is_cut_with_a_warning(tmp_path):
    annotations = [{"core:sample_start": 5, "core:sample_count": 100}]
    recording = open_recording(write_sigmf(tmp_path, "a", bytes(80), annotations=annotations))
    assert recording.annotations[0].count == 5
    assert "beyond the last sample" in recording.warnings[0]


def test_the_request_fills_in_what_nobody_tells_and_may_repeat_what_is_told(tmp_path):
    path = write_sigmf(tmp_path, "a", bytes(80), rate=None)
    recording = open_recording(path, sample_rate=5e6, center_frequency=1e9, datatype="cf32")
    assert (recording.sample_rate, recording.center_frequency) == (5e6, 1e9)
    (tmp_path / "b_433.92M_250k.cu8").write_bytes(bytes(80))
    recording = open_recording(tmp_path / "b_433.92M_250k.cu8", sample_rate=250_000.1, center_frequency=433_920_001)
    assert (recording.sample_rate, recording.center_frequency) == (250e3, 433.92e6)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_piece_equals_that_of_the_whole(tmp_path_factory, data):
    datatype = data.draw(st.sampled_from(["cu8", "ci16_be", "cf32_le", "cf64_be"]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(SAMPLES) - 1), max_size=3)))
    headers = data.draw(st.lists(st.integers(0, 7), min_size=len(cuts) + 1, max_size=len(cuts) + 1))
    starts = [0, *cuts]
    pieces = [SAMPLES[begin:end] for begin, end in pairwise([*starts, len(SAMPLES)])]
    content = b"".join(bytes(header) + encode(piece, datatype) for header, piece in zip(headers, pieces, strict=True))
    captures = [{"core:sample_start": begin, "core:header_bytes": size} for begin, size in zip(starts, headers, strict=True)]
    recording = open_recording(write_sigmf(tmp_path_factory.mktemp("x"), "a", content, datatype=datatype, captures=captures))
    first = data.draw(st.integers(0, len(SAMPLES)))
    count = data.draw(st.integers(0, len(SAMPLES) - first))
    whole = recording.read(0, len(SAMPLES))
    assert np.abs(whole - SAMPLES).max() < 0.01
    assert np.array_equal(recording.read(first, count), whole[first : first + count])


def test_a_block_boundary_leaves_no_trace(tmp_path):
    samples = make_samples(100_000)
    for datatype in ("cf32_le", "ci16_le"):
        path = tmp_path / f"a.{'cf32' if datatype == 'cf32_le' else 'cs16'}"
        path.write_bytes(encode(samples, datatype))
        assert_holds(open_recording(path, sample_rate=1e6), samples, datatype)


def test_a_recording_tells_its_duration(tmp_path):
    (tmp_path / "a.iq").write_bytes(bytes(80))
    assert open_recording(tmp_path / "a.iq", sample_rate=2.0).duration_s == 5.0


def test_a_capture_without_samples_is_left_out(tmp_path):
    captures = [{"core:sample_start": 0}, {"core:sample_start": 4}, {"core:sample_start": 4}, {"core:sample_start": 10}]
    recording = open_recording(write_sigmf(tmp_path, "a", bytes(80), captures=captures))
    assert [(each.first, each.count) for each in recording.captures] == [(0, 4), (4, 6)]


def test_a_datatype_in_a_sidecar_is_used_or_told_to_be_unknown(tmp_path):
    (tmp_path / "a.iq").write_bytes(bytes(80))
    for text, name, warnings in (("Int16", "ci16_le", 0), ("quaternion", "cf32_le", 1)):
        (tmp_path / "a.xml").write_text(f"<a><DataType>{text}</DataType></a>")
        recording = open_recording(tmp_path / "a.iq", sample_rate=1e6)
        assert (recording.datatype.name, len(recording.warnings)) == (name, warnings)


def test_a_recording_travels_between_processes(tmp_path):
    recording = open_recording(write_sigmf(tmp_path, "a", encode(SAMPLES, "cu8"), datatype="cu8"))
    assert pickle.loads(pickle.dumps(recording)) == recording  # noqa: S301


@pytest.mark.parametrize(("first", "count"), [(-1, 1), (0, 11), (10, 1), (0, -1)])
def test_samples_that_are_not_there_cannot_be_asked_for(tmp_path, first, count):
    (tmp_path / "a.iq").write_bytes(bytes(80))
    with pytest.raises(ValueError, match="which has 10"):
        open_recording(tmp_path / "a.iq", sample_rate=1e6).read(first, count)


#: Opens a recording, goes to its end alone and in frames, and prints how much memory that took at most.
MEASURE = """
import sys
from pathlib import Path
from actors.signals.frames import RecordingFrames
from actors.signals.recipe import Recipe
from actors.signals.recording import open_recording
def most_kib():
    # Not what getrusage tells: there the memory of the process that started this one counts too.
    return int(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")))
before = most_kib()
recording = open_recording(Path(sys.argv[1]))
print(abs(recording.read(recording.sample_count - 1_000_000, 1_000_000)).sum())
rate = recording.sample_rate
recipe = Recipe.native(rate, frame_duration_s=1_000_000 / rate, frame_step_s=recording.duration_s / 20)
frames = RecordingFrames(recording, recipe)
print(sum(not frames.read(index).any() for index in range(len(frames))))
print(most_kib() - before)
"""


@pytest.mark.parametrize("kind", ["iq", "sigmf"])
def test_a_huge_recording_takes_no_more_memory_than_a_small_one(tmp_path, kind):
    path = write_sigmf(tmp_path, "huge", b"") if kind == "sigmf" else tmp_path / "huge_2440M_100000k.iq"
    with (path.with_suffix(".sigmf-data") if kind == "sigmf" else path).open("wb") as file:
        file.truncate(20 * 10**9)
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True, timeout=60)
    total, frames, grown_kib = done.stdout.split()
    assert (float(total), int(frames)) == (0.0, 20)
    assert int(grown_kib) < 64 * 1024
