"""Annotations are valid SigMF, other programs find the samples beside them, and our own reader reads both again."""

import json

import numpy as np
import pytest
import sigmf

from actors.signals.errors import RecordingFormatError
from actors.signals.recording import open_recording
from actors.signals.sigmf_annotations import Finding, describe_findings, relative_link
from tests.unit.signals.recordings import encode, make_samples, sigmf_meta, wav, write_archive, write_sigmf

RATE = 1e6
FINDINGS = [Finding(500, 500, 0.9e6, 1.9e6, "大疆 b", 60.25), Finding(0, 500, 0.9e6, 1.9e6, "a", 99.5)]


def written(recording, folder, name="found"):
    """The metadata's path, with the link beside it."""
    folder.mkdir()
    files = describe_findings(recording, name, FINDINGS, description="test")
    (folder / files.meta_name).write_text(files.meta_text(), "utf-8")
    (folder / files.data_name).symlink_to(relative_link(files.data_path, folder))
    return folder / files.meta_name


def plain(folder, samples):
    path = folder / "x_433.92M_1000k.cs16"
    path.write_bytes(encode(samples, "ci16_le"))
    return path


def waves(folder, samples):
    path = folder / "x_433.92M_1000k.wav"
    path.write_bytes(wav(encode(samples, "ci16_le"), rate=1_000_000, extra=b"LIST\x04\0\0\0abcd"))
    return path


def headed(folder, samples):
    captures = [{"core:sample_start": 0, "core:frequency": 433.92e6, "core:header_bytes": 3}]
    captures.append(
        {"core:sample_start": 400, "core:frequency": 434e6, "core:header_bytes": 8, "core:datetime": "2025-01-02T03:04:05Z"}
    )
    content = encode(samples, "ci16_le")
    meta = sigmf_meta("ci16_le", rate=RATE, captures=captures, dataset="x.raw", trailing_bytes=5)
    (folder / "x.sigmf-meta").write_bytes(meta)
    (folder / "x.raw").write_bytes(b"abc" + content[:1600] + b"12345678" + content[1600:] + b"trail")
    return folder / "x.sigmf-meta"


def archived(folder, samples):
    members = {"x.sigmf-meta": sigmf_meta("ci16_le", rate=RATE), "x.sigmf-data": encode(samples, "ci16_le")}
    return write_archive(folder / "x.sigmf", members)


@pytest.mark.parametrize("make", [plain, waves, headed, archived])
def test_what_is_written_is_valid_and_leads_to_the_same_samples(tmp_path, make):
    samples = make_samples(1000)
    recording = open_recording(make(tmp_path, samples))
    path = written(recording, tmp_path / "out")
    again = open_recording(path)
    assert np.array_equal(again.read(0, 1000), recording.read(0, 1000))
    assert (again.sample_rate, again.datatype) == (RATE, recording.datatype)
    told = [(each.first, each.count, each.center_frequency, each.started_at) for each in recording.captures]
    assert told == [(each.first, each.count, each.center_frequency, each.started_at) for each in again.captures]
    assert [(each.first, each.count, each.label) for each in again.annotations] == [(0, 500, "a"), (500, 500, "大疆 b")]
    sigmf.SigMFFile(metadata=json.loads(path.read_text("utf-8"))).validate()


def test_plain_samples_lie_under_the_name_that_other_programs_look_for(tmp_path):
    samples = make_samples(1000)
    path = written(open_recording(plain(tmp_path, samples)), tmp_path / "out")
    assert path.with_suffix(".sigmf-data").readlink().as_posix() == "../x_433.92M_1000k.cs16"
    theirs = sigmf.fromfile(path)
    theirs.validate()
    assert np.allclose(theirs.read_samples(), samples, atol=1e-4)
    annotation = theirs.get_annotations()[0]
    assert annotation["core:label"] == "a"
    assert annotation["core:generator"] == "rfuav"
    assert (annotation["core:freq_lower_edge"], annotation["core:freq_upper_edge"]) == (0.9e6, 1.9e6)
    assert (annotation["core:comment"], annotation["rfuav:confidence"]) == ("99.50 %", 99.5)


def test_samples_within_another_file_keep_its_ending(tmp_path):
    path = written(open_recording(waves(tmp_path, make_samples(1000))), tmp_path / "out")
    assert json.loads(path.read_text("utf-8"))["global"]["core:dataset"] == "found.wav"
    assert not path.with_suffix(".sigmf-data").exists()


def test_values_of_24_bits_have_no_name_in_sigmf(tmp_path):
    (tmp_path / "x.wav").write_bytes(wav(bytes(600), bits=24))
    with pytest.raises(RecordingFormatError, match="24 bits"):
        describe_findings(open_recording(tmp_path / "x.wav"), "x", FINDINGS, description="test")


def test_annotations_of_the_source_are_not_taken_over(tmp_path):
    annotations = [{"core:sample_start": 1, "core:sample_count": 2, "core:label": "theirs"}]
    path = write_sigmf(tmp_path, "x", encode(make_samples(1000), "cu8"), datatype="cu8", annotations=annotations)
    found = describe_findings(open_recording(path), "x", FINDINGS, description="test").metadata["annotations"]
    assert [each["core:label"] for each in found] == ["a", "大疆 b"]
