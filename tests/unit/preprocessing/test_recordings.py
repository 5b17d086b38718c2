"""The recording of a picture is told from its name, so that its other pictures can stay with it."""

import time

import pytest

from actors.learning.errors import ConfigError
from actors.preprocessing import recordings
from actors.preprocessing.errors import RecordingError
from actors.preprocessing.plan import check_group_by
from actors.preprocessing.recordings import recording_of, recordings_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tfa/tfa__s01_gfile017_433.92M_250k_1.jpg", "tfa/tfa__s01_gfile017_433.92M_250k_5.jpg"),
        ("MINI3/pack1_0-1s.png", "MINI3/pack1_2-3s.png"),
        ("MINI3/pack1_0-1s_4.png", "MINI3/pack1_2-3s_5.png"),
        ("MINI3/pack1/MINI3 (0).jpg", "MINI3/pack1/MINI3 (0)_AugM3.jpg"),
        ("a/flight7_seg2_frame0001.jpg", "a/flight7_seg3_frame0009.jpg"),
        ("a/flight7-12.jpg", "a/flight7_origin.jpg"),
        ("a/video/frame_02.jpg", "a/video/frame_14.jpg"),
        ("a/3_waterfall_spectrogram.jpg", "a/12_waterfall_spectrogram.jpg"),
        ("a/0-0.1s-jet-1024.jpg", "a/0.1-0.2s-parula-512.jpg"),
        ("a/rec_01_0001.jpg", "a/rec_01_0002.jpg"),
    ],
)
def test_pictures_of_one_recording_are_known_as_such(one, other):
    assert recording_of(one) == recording_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("tfa/tfa__s01_gfile017_433.92M_250k_1.jpg", "tfa/tfa__s01_gfile018_433.92M_250k_1.jpg"),
        ("a/rec_01_0001.jpg", "a/rec_02_0001.jpg"),
        ("a/rec_01.jpg", "a/rec_02.jpg"),
        ("a/video1/frame_02.jpg", "a/video2/frame_02.jpg"),
        ("a/img_0001.jpg", "a/img_0002.jpg"),
        ("a/1.jpg", "a/2.jpg"),
        ("DJI MINI3/DJI MINI3 (1).jpg", "DJI MINI3/DJI MINI3 (2).jpg"),
        ("MINI3/MINI31.jpg", "MINI3/MINI32.jpg"),
    ],
)
def test_other_recordings_are_other_ones(one, other):
    assert recording_of(one) != recording_of(other)


def test_by_file_every_file_is_its_own_recording():
    assert recordings_of(["a/x_1.jpg", "a/x_2.jpg"], "file") == {"a/x_1.jpg": "a/x_1.jpg", "a/x_2.jpg": "a/x_2.jpg"}


def test_the_first_group_of_an_expression_is_the_recording_and_it_sees_the_path_below_the_class():
    names = ["a/night/x1.jpg", "a/night/x2.jpg", "a/day/x1.jpg"]
    assert list(recordings_of(names, "^(.+)/").values()) == ["night", "night", "day"]


def test_a_file_that_the_expression_does_not_match_is_named():
    with pytest.raises(RecordingError, match=r"matches 1 of 2 files; it does not match a/y\.jpg"):
        recordings_of(["a/x1.jpg", "a/y.jpg"], r"^(.)\d")


def test_an_expression_that_takes_forever_is_ended(monkeypatch):
    monkeypatch.setattr(recordings, "PATTERN_TIME_LIMIT_S", 1.0)
    began = time.monotonic()
    with pytest.raises(RecordingError, match="within 1 s"):
        recordings_of(["a/" + "a" * 60 + "!.jpg"], "^((a+)+)+$")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("group_by", ["no_group", "(", "(a)" + "b" * 200, ""])
def test_what_is_no_expression_with_a_group_is_refused_before_anything_is_read(group_by):
    with pytest.raises(ConfigError, match="group_by"):
        check_group_by(group_by)
