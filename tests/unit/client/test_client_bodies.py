"""Files as bodies: uploads, and what a prediction is made of."""

import os
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path

import httpx
import pytest

from cluster.client import InvalidRequestError
from tests.unit.client.both import Script, answer

ENTRY = {"name": "a", "path": "a", "kind": "file", "size_bytes": 3, "modified_at": None}
PREDICTED = {
    "model": "m", "version": 1, "device": "cpu:0", "simulated": False, "precision": "float32", "cached": False, "predictions": [],
    "summary": [], "spectrograms": [], "timing": {"queue_ms": 0, "preprocess_ms": 0, "forward_ms": 0, "total_ms": 0, "batch_sizes": []},
}  # fmt: skip
PNG = b"\x89PNG\r\n\x1a\n..."


class Reading(Script):
    """Keeps what it was sent."""

    @property
    def received(self):
        return self.bodies

    def parts(self):
        """(name, content) of each file of the last body."""
        head = f"Content-Type: {self.requests[-1].headers['Content-Type']}\r\n\r\n".encode()
        message = message_from_bytes(head + self.received[-1], policy=HTTP)
        return [(each.get_filename(), each.get_payload(decode=True)) for each in message.iter_parts()]


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "long.iq"
    path.write_bytes(bytes(range(256)) * 4000)
    return path


def test_an_upload_is_sent_block_by_block_and_tells_how_far_it_is(make_client, recording):
    script, seen = Reading(answer(ENTRY)), []
    make_client(script).call("upload", recording, "in/long.iq", on_progress=lambda *each: seen.append(each))
    request = script.requests[0]
    assert script.received == [recording.read_bytes()]
    assert (request.headers["Content-Length"], request.headers["Content-Type"]) == ("1024000", "application/octet-stream")
    assert "Transfer-Encoding" not in request.headers
    assert [each for each, _ in seen] == [262144, 524288, 786432, 1024000]
    assert {whole for _, whole in seen} == {1024000}
    assert dict(request.url.params) == {"path": "in/long.iq"}


def test_an_upload_that_reached_nobody_begins_anew(make_client, recording):
    script = Reading(httpx.ConnectError("refused"), answer(ENTRY))
    make_client(script).call("upload", recording, "in/long.iq", overwrite=True)
    assert script.received[1] == recording.read_bytes()
    assert script.requests[1].url.params["overwrite"] == "true"


def test_a_file_that_is_not_there_is_told_before_anything_is_sent(make_client, tmp_path):
    for name, arguments in (("upload", (tmp_path / "no", "p")), ("predict", (tmp_path / "no.iq",)), ("upload", (tmp_path, "p"))):
        with pytest.raises(InvalidRequestError, match="is no file on this machine"):
            make_client(Reading()).call(name, *arguments)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that nobody can read from its start is wanted")
@pytest.mark.parametrize(("name", "more"), [("upload", ("p",)), ("predict", ())])
def test_a_file_that_cannot_be_read_is_named(make_client, name, more):
    with pytest.raises(InvalidRequestError, match="/proc/self/mem cannot be read"):
        make_client(Reading(answer(ENTRY))).call(name, "/proc/self/mem", *more)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(make_client, recording):
    recording.chmod(0)
    with pytest.raises(InvalidRequestError, match=r"long\.iq cannot be read: Permission denied"):
        make_client(Reading(answer(ENTRY))).call("upload", recording, "p")


def test_a_picture_in_memory_is_sent_as_it_is(make_client):
    script = Reading(answer(PREDICTED))
    make_client(script).call("predict", PNG, model="m@production", top_k=3, deadline_s=2.5)
    request = script.requests[0]
    assert (script.received, request.headers["Content-Type"]) == ([PNG], "image/png")
    assert dict(request.url.params) == {"model": "m@production", "top_k": "3"}
    assert request.headers["X-Request-Timeout"] == "2.5"


def test_samples_in_memory_go_with_what_they_are(make_client):
    script = Reading(answer(PREDICTED))
    make_client(script).call("predict", bytes(64), format="cf32", sample_rate=1e8, center_frequency=2.4e9, spectrogram=True)
    request = script.requests[0]
    assert request.headers["Content-Type"] == "application/octet-stream"
    wanted = {"format": "cf32_le", "sample_rate": "100000000.0", "center_frequency": "2400000000.0", "spectrogram": "true"}
    assert dict(request.url.params) == wanted


def test_several_sources_keep_their_names(make_client, recording):
    script = Reading(answer(PREDICTED))
    make_client(script).call("predict", recording, ('a"é.png', PNG), PNG)
    assert script.parts() == [("long.iq", recording.read_bytes()), ("a%22é.png", PNG), ("2.png", PNG)]
    assert script.requests[0].headers["Content-Length"] == str(len(script.received[0]))


def test_one_file_whose_ending_tells_nothing_is_sent_as_samples(make_client, tmp_path):
    path = tmp_path / "capture"
    path.write_bytes(bytes(8))
    script = Reading(answer(PREDICTED))
    make_client(script).call("predict", str(path), format="cu8")
    assert (script.received, script.requests[0].headers["Content-Type"]) == ([bytes(8)], "application/octet-stream")


def test_a_prediction_is_repeated_whole(make_client, recording):
    script = Reading(httpx.ReadError("lost"), answer(PREDICTED))
    make_client(script).call("predict", recording)
    assert script.received[0] == script.received[1]


@pytest.mark.parametrize("wrong", [{"format": "cf99"}, {"top_k": 0}, {"sample_rate": -1.0}])
def test_a_wrong_parameter_is_told_before_anything_is_sent(make_client, wrong):
    with pytest.raises(InvalidRequestError, match=next(iter(wrong))):
        make_client(Reading()).call("predict", PNG, **wrong)


def test_a_prediction_of_nothing_is_refused(make_client):
    with pytest.raises(InvalidRequestError, match="at least one"):
        make_client(Reading()).call("predict")
