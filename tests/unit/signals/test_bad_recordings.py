"""Whatever is wrong with a recording, the error names the file, says what is wrong and what to do."""

import gzip
import hashlib
import os
import pickle
import struct
import tarfile

import numpy as np
import pytest

from actors.files.data_roots import DataRoots
from actors.files.errors import WorkError
from actors.signals import errors
from actors.signals.errors import (
    BadSamplesError,
    RecordingFormatError,
    RecordingMetadataError,
    SampleRateError,
    SignalError,
    UnreadableRecordingError,
)
from actors.signals.recording import open_recording
from tests.unit.signals.recordings import chunk, sigmf_meta, wav, wav_format, write_archive, write_sigmf

TEN = bytes(80)


def short(value):
    """Names a test after its file's size, not its content."""
    return f"{len(value)}_bytes" if isinstance(value, bytes) else None


def refused(error, path, match, **request):
    with pytest.raises(error, match=match) as failed:
        open_recording(path, **request)
    assert path.stem.partition(".")[0] in failed.value.message
    assert failed.value.hint.endswith(".")


@pytest.mark.parametrize(
    ("name", "content", "request_", "error", "match"),
    [
        ("a.iq", TEN[:-1], {}, UnreadableRecordingError, "79 bytes are 9 samples of cf32_le and 7 bytes too many"),
        ("a.cu8", b"123", {}, UnreadableRecordingError, "1 bytes too many"),
        ("a.cs16", b"123456", {}, UnreadableRecordingError, "2 bytes too many"),
        ("a.iq", b"", {}, UnreadableRecordingError, "holds no samples"),
        ("a.iq", TEN, {"sample_rate": None}, SampleRateError, "nobody tells the sample rate"),
        ("a.iq", TEN, {"sample_rate": 0.0}, SampleRateError, "the request tells a sample_rate of 0"),
        ("a.iq", TEN, {"sample_rate": -1e6}, SampleRateError, "of -1e"),
        ("a.iq", TEN, {"sample_rate": float("nan")}, SampleRateError, "of nan"),
        ("a.iq", TEN, {"sample_rate": float("inf")}, SampleRateError, "of inf"),
        ("a.iq", TEN, {"sample_rate": 2e12}, SampleRateError, "of 2e"),
        ("a.iq", TEN, {"center_frequency": float("nan")}, RecordingMetadataError, "center_frequency of nan"),
        ("a_433.92M_0k.cu8", TEN, {"sample_rate": None}, SampleRateError, "the name a_433.92M_0k.cu8 tells a sample_rate of 0"),
        ("a_1M_250k.cu8", TEN, {}, RecordingMetadataError, "name a_1M_250k.cu8 tells a sample_rate of 250000, .* says 1000000"),
        ("a_1M_1000k.cu8", TEN, {"center_frequency": 1.1e6}, RecordingMetadataError, "of 1000000, .* says 1100000"),
        ("a.cu8", TEN, {"datatype": "ci16"}, RecordingMetadataError, "holds cu8 .* says ci16_le"),
        ("a.png", TEN, {}, RecordingFormatError, "ends in none of"),
        ("a", TEN, {}, RecordingFormatError, "ends in none of"),
        ("a.sigmf-collection", b"{}", {}, RecordingFormatError, "is a SigMF collection"),
    ],
    ids=short,
)
def test_a_bad_plain_file_is_refused(tmp_path, name, content, request_, error, match):
    (tmp_path / name).write_bytes(content)
    refused(error, tmp_path / name, match, **{"sample_rate": 1e6, **request_})


def test_a_real_or_unknown_datatype_is_refused(tmp_path):
    (tmp_path / "a.iq").write_bytes(TEN)
    with pytest.raises(RecordingFormatError, match="real samples"):
        open_recording(tmp_path / "a.iq", datatype="rf32")


@pytest.mark.parametrize(
    ("xml", "error", "match"),
    [
        ("<a><SampleRate>", RecordingMetadataError, "a.xml is no plain XML"),
        ("", RecordingMetadataError, "a.xml is no plain XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', RecordingMetadataError, "a.xml is no plain XML"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', RecordingMetadataError, "a.xml is no plain XML"),
        ("<a><SampleRate>fast</SampleRate></a>", SampleRateError, "'fast' is not understood"),
        ("<a><SampleRate>100</SampleRate></a>", SampleRateError, "'100' has no unit"),
        ("<a><SampleRate>-3 MHz</SampleRate></a>", SampleRateError, "SampleRate in a.xml tells a sample_rate of -3e"),
        ("<a>" + "x" * (1 << 20) + "</a>", UnreadableRecordingError, "a.xml has more than"),
    ],
)
def test_a_bad_sidecar_is_named(tmp_path, xml, error, match):
    (tmp_path / "a.iq").write_bytes(TEN)
    (tmp_path / "a.xml").write_text(xml)
    with pytest.raises(error, match=match):
        open_recording(tmp_path / "a.iq")


def test_a_sidecar_and_a_request_that_differ_are_both_named(tmp_path):
    (tmp_path / "a.iq").write_bytes(TEN)
    (tmp_path / "a.xml").write_text("<a><SampleRate>100 MHz</SampleRate></a>")
    refused(RecordingMetadataError, tmp_path / "a.iq", "SampleRate in a.xml .* 100000000, .* 20000000", sample_rate=20e6)


@pytest.mark.parametrize(
    ("options", "data", "error", "match"),
    [
        ({}, b"", UnreadableRecordingError, "holds no samples"),
        ({}, TEN[:-3], UnreadableRecordingError, "5 bytes too many"),
        ({"rate": None}, TEN, SampleRateError, "nobody tells"),
        ({"rate": 0}, TEN, RecordingMetadataError, "wrong at global"),
        ({"rate": "fast"}, TEN, RecordingMetadataError, r"wrong at global\.core:sample_rate"),
        ({"datatype": "cq8"}, TEN, RecordingMetadataError, "core:datatype"),
        ({"datatype": "ci16_lex"}, TEN, RecordingFormatError, "no datatype"),
        ({"datatype": "rf32_le"}, TEN, RecordingFormatError, "real samples"),
        ({"num_channels": 2}, TEN, RecordingFormatError, "holds 2 channels"),
        ({"sha512": "0" * 128}, TEN, RecordingMetadataError, "do not have the core:sha512"),
        ({"captures": [{"core:sample_start": 11}]}, TEN, RecordingMetadataError, "begins at sample 11, .* only 10"),
        ({"captures": [{"core:sample_start": 5}, {"core:sample_start": 2}]}, TEN, RecordingMetadataError, "order"),
        ({"captures": [{"core:sample_start": -1}]}, TEN, RecordingMetadataError, "wrong at captures"),
        ({"captures": [{"core:frequency": 1}]}, TEN, RecordingMetadataError, "core:sample_start"),
        ({"captures": [{"core:sample_start": 0, "core:frequency": "x"}]}, TEN, RecordingMetadataError, "core:frequency"),
        ({"captures": [{"core:sample_start": 0, "core:header_bytes": 80}]}, TEN, UnreadableRecordingError, "no samples"),
        ({"annotations": [{"core:sample_start": 10}]}, TEN, RecordingMetadataError, "annotation begins at sample 10, .* only 10"),
        ({"dataset": "../../etc/passwd"}, TEN, RecordingMetadataError, "no plain file name|core:dataset"),
        ({"dataset": "absent.bin"}, TEN, UnreadableRecordingError, r"cannot read .*absent\.bin"),
        (
            {"extensions": [{"name": "odd", "version": "1.0.0", "optional": False}]},
            TEN,
            RecordingFormatError,
            "needs the extension odd",
        ),
    ],
    ids=short,
)
def test_bad_sigmf_is_refused(tmp_path, options, data, error, match):
    path = write_sigmf(tmp_path, "a", data, **options)
    with pytest.raises(error, match=match):
        open_recording(path)
    if "dataset" not in options:
        members = {"a.sigmf-meta": path.read_bytes(), "a.sigmf-data": data}
        with pytest.raises(error, match=match):
            open_recording(write_archive(tmp_path / "a.sigmf", members))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "lack the global object"),
        (b'{"global": 1}', "lack the global object"),
        (b'{"global": {}}', "wrong at"),
        (b'{"collection": {}}', "is a collection"),
        (sigmf_meta(rate=float("nan")), "nan"),
    ],
    ids=short,
)
def test_metadata_that_are_none_are_refused(tmp_path, content, match):
    path = write_sigmf(tmp_path, "a", TEN)
    path.write_bytes(content)
    refused(SignalError, path, match)


def test_the_right_hash_is_accepted_in_any_case(tmp_path):
    path = write_sigmf(tmp_path, "a", TEN, sha512=hashlib.sha512(TEN).hexdigest().upper())
    assert open_recording(path).sample_count == 10


def test_metadata_without_data_and_data_without_metadata_are_refused(tmp_path):
    path = write_sigmf(tmp_path, "a", TEN, metadata_only=True)
    path.with_suffix(".sigmf-data").unlink()
    refused(RecordingFormatError, path, "stands alone")
    (tmp_path / "b.sigmf-data").write_bytes(TEN)
    refused(UnreadableRecordingError, tmp_path / "b.sigmf-data", r"cannot read .*b\.sigmf-meta")


def test_a_capture_that_the_request_contradicts_is_named(tmp_path):
    captures = [{"core:sample_start": 0, "core:frequency": 1e9}, {"core:sample_start": 5, "core:frequency": 2e9}]
    path = write_sigmf(tmp_path, "a", TEN, captures=captures)
    refused(RecordingMetadataError, path, "the capture at sample 5 .* 2000000000, .* 1000000000", center_frequency=1e9)


META = sigmf_meta()


@pytest.mark.parametrize(
    ("members", "error", "match"),
    [
        ({}, RecordingFormatError, "holds 0 recordings"),
        ({"a.sigmf-data": TEN}, RecordingFormatError, "holds 0 recordings"),
        ({"a.sigmf-meta": META}, RecordingMetadataError, "holds 0 files a.sigmf-data"),
        ({"a.sigmf-meta": sigmf_meta(dataset="b.bin"), "a.sigmf-data": TEN}, RecordingMetadataError, "holds 0 files b.bin"),
        ({"a.sigmf-meta": META, "b.sigmf-meta": META, "a.sigmf-data": TEN}, RecordingFormatError, "holds 2 recordings"),
        ({"a.sigmf-meta": META, "a.sigmf-data": TEN[:-1]}, UnreadableRecordingError, "7 bytes too many"),
        ({"a.sigmf-meta": META, "a.sigmf-data": b""}, UnreadableRecordingError, "holds no samples"),
    ],
    ids=short,
)
def test_a_bad_archive_is_refused(tmp_path, members, error, match):
    refused(error, write_archive(tmp_path / "a.sigmf", members), match)


@pytest.mark.parametrize("mode", ["w:gz", "w:xz", "w:bz2"])
def test_a_compressed_archive_is_refused_with_the_remedy(tmp_path, mode):
    path = write_archive(tmp_path / "a.sigmf", {"a.sigmf-meta": META, "a.sigmf-data": TEN}, mode)
    with pytest.raises(RecordingFormatError, match="is compressed") as failed:
        open_recording(path)
    assert "Unpack it" in failed.value.hint


@pytest.mark.parametrize("content", [b"", b"no tar at all", b"x" * 2000, gzip.compress(b"")], ids=short)
def test_what_is_no_archive_is_refused(tmp_path, content):
    (tmp_path / "a.sigmf").write_bytes(content)
    refused(SignalError, tmp_path / "a.sigmf", r"a\.sigmf")


def test_an_archive_that_was_cut_off_is_refused(tmp_path):
    path = write_archive(tmp_path / "a.sigmf", {"a.sigmf-meta": META, "a.sigmf-data": bytes(80_000)})
    path.write_bytes(path.read_bytes()[:40_000])
    refused(UnreadableRecordingError, path, r"a\.sigmf")


def test_a_link_in_an_archive_is_not_followed(tmp_path):
    path = write_archive(tmp_path / "a.sigmf", {"a.sigmf-meta": META})
    with tarfile.open(path, "a") as archive:
        link = tarfile.TarInfo("a.sigmf-data")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    refused(RecordingMetadataError, path, "holds 0 files")


@pytest.mark.parametrize(
    ("content", "error", "match"),
    [
        (b"", RecordingFormatError, "no WAV file"),
        (b"RIFFxxxxAVI ", RecordingFormatError, "no WAV file"),
        (wav(TEN)[:30], UnreadableRecordingError, "no data chunk|fmt chunk is cut off"),
        (wav(TEN)[:-8], UnreadableRecordingError, "header tells 80 bytes of samples, 72 are there"),
        (wav(b""), UnreadableRecordingError, "holds no samples"),
        (wav(TEN, data_size=79), UnreadableRecordingError, "3 bytes too many"),
        (wav(TEN, channels=1), RecordingFormatError, "1 channel"),
        (wav(TEN, channels=4), RecordingFormatError, "4 channel"),
        (wav(TEN, bits=12), RecordingFormatError, "12 bits"),
        (wav(TEN, encoding=17), RecordingFormatError, "encoding 17"),
        (wav(TEN, rate=0), SampleRateError, "header of a.wav tells a sample_rate of 0"),
        (b"RIFF\0\0\0\0WAVE" + chunk(b"data", TEN), UnreadableRecordingError, "no fmt chunk"),
        (b"RIFF\0\0\0\0WAVE" + wav_format(), UnreadableRecordingError, "no data chunk"),
        (
            b"RF64\xff\xff\xff\xffWAVE"
            + chunk(b"ds64", struct.pack("<QQQI", 0, 2**63, 0, 0))
            + wav_format()
            + chunk(b"data", TEN, size=0xFFFFFFFF),
            UnreadableRecordingError,
            "80 are there",
        ),
    ],
    ids=short,
)
def test_a_bad_wav_is_refused(tmp_path, content, error, match):
    (tmp_path / "a.wav").write_bytes(content)
    refused(error, tmp_path / "a.wav", match)


def test_a_header_and_a_request_that_differ_are_both_named(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav(TEN))
    refused(RecordingMetadataError, tmp_path / "a.wav", "header of a.wav .* 2000000, .* 3000000", sample_rate=3e6)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "missing", "outside"])
@pytest.mark.parametrize("name", ["a.iq", "a.wav", "a.sigmf", "a.sigmf-meta"])
def test_what_is_no_file_within_the_roots_is_never_opened(tmp_path, kind, name):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "outside":
        (tmp_path / name).write_bytes(TEN)
        path.symlink_to(tmp_path / name)
    roots = DataRoots.of([tmp_path / "in"])
    refused(UnreadableRecordingError, path, "no regular file|cannot read|outside the data roots", sample_rate=1e6, roots=roots)


@pytest.mark.parametrize("link", ["a.xml", "b.sigmf-data"])
def test_what_lies_beside_a_recording_may_not_lead_out_either(tmp_path, link):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.iq").write_bytes(TEN)
    (tmp_path / "in/b.sigmf-meta").write_bytes(META)
    (tmp_path / "outside").write_bytes(TEN)
    (tmp_path / "in" / link).symlink_to(tmp_path / "outside")
    path = tmp_path / "in" / ("a.iq" if link == "a.xml" else "b.sigmf-meta")
    with pytest.raises(UnreadableRecordingError, match="outside the data roots"):
        open_recording(path, sample_rate=1e6, roots=DataRoots.of([tmp_path / "in"]))


def test_a_file_that_shrinks_after_it_was_opened_is_told(tmp_path):
    path = tmp_path / "a.iq"
    path.write_bytes(TEN)
    recording = open_recording(path, sample_rate=1e6)
    assert len(recording.read(0, 10)) == 10
    os.truncate(path, 24)
    with pytest.raises(UnreadableRecordingError, match=r"a\.iq became shorter .* byte 24"):
        recording.read(2, 2)
    with pytest.raises(UnreadableRecordingError, match="became shorter"):
        recording.read(0, 10)
    path.unlink()
    with pytest.raises(UnreadableRecordingError, match="cannot read"):
        recording.read(0, 1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("ending", "dtype"), [("cf32", "<f4"), ("cf64", "<f8")])
def test_samples_that_are_no_numbers_are_counted_and_refused_where_they_are_read(tmp_path, bad, ending, dtype):
    values = np.zeros(200_000, dtype=dtype)
    values[[150_001, 150_003]] = bad
    path = tmp_path / f"a.{ending}"
    path.write_bytes(values.tobytes())
    recording = open_recording(path, sample_rate=1e6)
    assert not recording.read(0, 75_000).any()
    first_byte = 75_000 * recording.datatype.sample_bytes
    with pytest.raises(BadSamplesError, match=rf"a\.{ending}: 2 of 100000 samples .* first at byte {first_byte}"):
        recording.read(0, 100_000)


def test_large_samples_are_no_bad_ones_but_those_that_no_receiver_gives_are(tmp_path):
    values = np.full(200_000, 9e11, dtype="<f4")
    (tmp_path / "a.iq").write_bytes(values.tobytes())
    assert open_recording(tmp_path / "a.iq", sample_rate=1e6).read(0, 100_000)[-1].real == np.float32(9e11)
    values[:] = 0
    values[150_001] = -1e13
    (tmp_path / "a.iq").write_bytes(values.tobytes())
    with pytest.raises(BadSamplesError, match=r"a\.iq: 1 of 100000 samples .* beyond 1e\+12, the first at byte 600000"):
        open_recording(tmp_path / "a.iq", sample_rate=1e6).read(0, 100_000)


def test_integers_read_as_floating_point_are_noticed_with_the_remedy(tmp_path):
    noise = np.random.default_rng(1).normal(0, 300, 20_000).astype("<i2")
    (tmp_path / "fork.iq").write_bytes(noise.tobytes())
    with pytest.raises(BadSamplesError) as failed:
        open_recording(tmp_path / "fork.iq", sample_rate=20e6).read(0, 5_000)
    assert "ci16_le" in failed.value.hint


@pytest.mark.parametrize("error", [each for each in vars(errors).values() if isinstance(each, type)])
def test_errors_keep_their_parts_between_processes_and_have_codes_of_their_own(error):
    copy = pickle.loads(pickle.dumps(error("what", "hint")))  # noqa: S301 - made here
    assert (type(copy), copy.message, copy.hint) == (error, "what", "hint")
    assert error is WorkError or error.code != WorkError.code
