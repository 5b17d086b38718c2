"""The name of a picture tells its recording by the rule that splits go by, and no two pictures share one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.preprocessing.picture_names import group_of, picture_name, picture_stems
from actors.preprocessing.recordings import recording_of

TELLING = ["fpv/a_433.92M_250k.cu8", "fpv/12.iq", "fpv/DJI MINI3 (4).iq", "fpv/rec_02.wav", "fpv/x.y.sigmf-meta", "b_7.dat"]
MUTE = ["fpv/capture.iq", "fpv/fpv.iq", "fpv/frame.iq", "fpv/seg.cu8", "fpv/0-0.1s-jet-1024.iq", "data.iq", "fpv/deep/iq.iq"]
words = st.sampled_from(["a", "b_1", "iq", "data", "seg", "frame_2", "0-1s", "3_waterfall_spectrogram", "x (2)", "fpv", "rdata"])
names = st.builds("{}{}{}".format, st.sampled_from(["", "fpv/", "fpv/s1/"]), words, st.sampled_from([".iq", ".cu8", ".wav"]))


@pytest.mark.parametrize("name", TELLING)
def test_a_name_that_tells_its_recording_is_kept(name):
    assert picture_stems([name])[name] == name.rpartition(".")[0]


@pytest.mark.parametrize("name", MUTE)
def test_a_name_that_tells_nothing_gets_a_mark(name):
    folder, _, stem = name.rpartition(".")[0].rpartition("/")
    assert picture_stems([name])[name] == f"{folder}/r{stem}".lstrip("/")


def test_recordings_that_differ_in_their_ending_keep_it():
    assert set(picture_stems(["fpv/a.iq", "fpv/a.wav", "fpv/b.iq"]).values()) == {"fpv/a.iq", "fpv/a.wav", "fpv/b"}


def test_pieces_of_a_long_recording_are_one_group_and_other_recordings_are_not():
    stems = picture_stems(["fpv/pack1_0-1s.iq", "fpv/pack1_1-2s.iq", "fpv/pack2_0-1s.iq"])
    groups = [group_of(stem) for stem in stems.values()]
    assert groups[0] == groups[1] != groups[2]


@given(st.sets(names, max_size=12))
def test_pictures_never_share_a_name_and_always_tell_their_recording(recordings):
    stems = picture_stems(recordings)
    pictures = [picture_name(stem, index) for stem in stems.values() for index in (0, 1, 12)]
    assert len(set(pictures)) == 3 * len(recordings)
    for stem in stems.values():
        seen = {recording_of(name if "/" in name else f"/{name}") for name in (picture_name(stem, index) for index in (0, 7, 105))}
        assert seen == {group_of(stem)}
