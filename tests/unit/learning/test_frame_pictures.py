"""Frames become pictures once, or anew for every epoch; the latter depend on seed, epoch and place alone."""

import threading

import numpy as np
import pytest
import torch

from actors.learning.class_tree import scan_class_folders
from actors.learning.data import BatchSource, Decoding, Turn
from actors.learning.errors import UnusableRecordingError
from actors.learning.frame_pictures import Rendering, augment_frames, render_frames
from actors.learning.parallel import Gang
from actors.learning.plan import RecordingChoices
from actors.learning.recording_tree import FrameTree, lay_out_frames, open_recordings
from actors.signals.augmentation import RadioAugmentation
from actors.signals.engine import SpectrogramEngine
from actors.signals.frames import settle_recipe
from tests.unit.learning.recording_trees import FRAME, RECIPE, SIDE, make_signal, write_recording, write_trees

CPU = torch.device("cpu")
ROLLED = RadioAugmentation(frequency_roll=0.5, time_shift=0.5, snr_db=(0.0, 20.0))


def never():
    return False


@pytest.fixture
def frames(tmp_path):
    return lay_out(write_trees(tmp_path) / "train")


def lay_out(root, **recipe):
    tree, choices = scan_class_folders(root), RecordingChoices(recipe=RECIPE | recipe)
    recordings = open_recordings(tree, choices)
    return lay_out_frames(tree, recordings, settle_recipe(choices.recipe, [*recordings.values()]))


def rendering(frames, augmentation=None):
    return Rendering(SpectrogramEngine(frames.recipe, image_size=SIDE), augmentation)


def decoding(tmp_path, *, budget=1 << 24, threads=2):
    return Decoding(image_size=SIDE, memory_budget_bytes=budget, scratch_dir=tmp_path, threads=threads)


def augmented(frames, tmp_path, **how):
    found = augment_frames(frames, rendering(frames, ROLLED), decoding(tmp_path, **how), never)
    assert found is not None
    return found[0]


def pictures_of(source, epoch=0, start=0):
    return torch.cat([batch.pictures for batch in source.batches(epoch, start=start)])


def test_a_frame_becomes_the_picture_that_the_engine_makes_of_it(frames, tmp_path):
    pictures, silent = render_frames(frames, rendering(frames), decoding(tmp_path), never)
    (batch,) = BatchSource(pictures, 64, CPU).batches(0)
    expected = rendering(frames).engine(np.stack([frames.read(index) for index in range(len(frames))]))
    assert batch.pictures.shape == (32, 3, SIDE, SIDE)
    assert (batch.pictures - expected).abs().max() <= 0.5 / 255 + 1e-6
    assert batch.labels.tolist() == [0] * 16 + [1] * 16
    assert silent == 0


def test_pictures_over_the_budget_lie_in_a_file(frames, tmp_path):
    one, other = (render_frames(frames, rendering(frames), decoding(tmp_path, budget=each), never)[0] for each in (1 << 24, 0))
    assert torch.equal(one.pixels, other.pixels)


def test_augmented_pictures_differ_between_epochs_and_seeds_but_not_between_runs(frames, tmp_path):
    source = augmented(frames, tmp_path)
    first = pictures_of(BatchSource(source, 8, CPU, seed=1))
    assert torch.equal(first, pictures_of(BatchSource(augmented(frames, tmp_path), 8, CPU, seed=1)))
    assert not torch.equal(first, pictures_of(BatchSource(source, 8, CPU, seed=1), epoch=1))
    assert not torch.equal(first, pictures_of(BatchSource(source, 8, CPU, seed=2)))


@pytest.mark.parametrize(("size", "start"), [(8, 16), (5, 0), (5, 13)])
def test_a_picture_depends_on_its_place_in_the_epoch_and_not_on_batches(frames, tmp_path, size, start):
    source = augmented(frames, tmp_path)
    whole = pictures_of(BatchSource(source, 8, CPU, seed=1, shuffle=True), epoch=3)
    assert torch.equal(whole[start:], pictures_of(BatchSource(source, size, CPU, seed=1, shuffle=True), epoch=3, start=start))


def test_frames_beyond_the_budget_are_read_again_and_give_the_same_pictures(frames, tmp_path):
    kept = augmented(frames, tmp_path)
    for count in (0, 5):
        partly = augmented(frames, tmp_path, budget=count * FRAME * 8 + 1)
        assert (len(kept.kept), len(partly.kept)) == (32, count)
        assert partly.size_bytes == count * FRAME * 8
        assert torch.equal(*(pictures_of(BatchSource(each, 8, CPU, seed=1, shuffle=True)) for each in (kept, partly)))


def test_long_frames_are_worked_on_by_fewer_threads(frames, monkeypatch):
    monkeypatch.setattr("actors.learning.frame_pictures._IN_WORK_BYTES", 24 * 8 * FRAME)
    as_they_are, changed = rendering(frames), rendering(frames, ROLLED)
    assert [each.threads_within_memory(frames, 16) for each in (as_they_are, changed)] == [12, 3]
    assert [each.threads_within_memory(frames, 2) for each in (as_they_are, changed)] == [2, 2]
    monkeypatch.setattr("actors.learning.frame_pictures._IN_WORK_BYTES", 1)
    assert changed.threads_within_memory(frames, 16) == 1


def test_augmented_frames_are_made_by_as_many_threads_as_memory_allows(frames, tmp_path, monkeypatch):
    monkeypatch.setattr("actors.learning.frame_pictures._IN_WORK_BYTES", 8 * 8 * FRAME)
    assert augmented(frames, tmp_path, threads=4).threads == 1


def test_a_cached_frame_is_read_once(frames, tmp_path, monkeypatch):
    reads = []
    read = FrameTree.read
    monkeypatch.setattr(FrameTree, "read", lambda self, index: (reads.append(index), read(self, index))[1])
    source = augmented(frames, tmp_path, budget=30 * FRAME * 8)
    for epoch in range(2):
        pictures_of(BatchSource(source, 8, CPU, seed=1, shuffle=True), epoch)
    assert sorted(reads) == sorted([*range(32), 30, 31, 30, 31])


def test_ranks_make_the_pictures_of_one_device(frames, tmp_path):
    source = augmented(frames, tmp_path)
    alone = [batch.pictures for batch in BatchSource(source, 10, CPU, 1, True).batches(0)]
    ranks = [BatchSource(source, 5, CPU, 1, True, Gang(rank, 2)).batches(0) for rank in range(2)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole, torch.cat([part.pictures for part in parts]))


def test_a_turn_without_pictures_is_empty(frames, tmp_path):
    (shown,) = augmented(frames, tmp_path).show([Turn(3, torch.empty(0, dtype=torch.int64))], seed=0, epoch=0, device=CPU)
    assert shown.shape == (0, 3, SIDE, SIDE)


def test_an_epoch_that_is_left_early_leaves_no_work_behind(frames, tmp_path):
    batches = BatchSource(augmented(frames, tmp_path), 4, CPU, seed=1).batches(0)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("frames")]


def test_the_fingerprint_tells_contents_names_and_the_recipe(frames, tmp_path):
    def fingerprint(**recipe):
        laid_out = lay_out(frames.tree.root, **recipe)
        return render_frames(laid_out, rendering(laid_out), decoding(tmp_path), never)[0].fingerprint

    found = [fingerprint(), fingerprint(dynamic_range_db=40)]
    assert augmented(frames, tmp_path).fingerprint == found[0]
    first = frames.tree.root / frames.tree.samples[0][0]
    write_recording(first, make_signal("tones", 4 * FRAME, 77))
    found.append(fingerprint())
    first.rename(first.with_name("00_433.92M_16k.cf32"))
    assert len({*found, fingerprint()}) == 4


def test_frames_with_stretches_of_zeros_are_counted(tmp_path):
    signal = make_signal("tones", 3 * FRAME, 5)
    signal[FRAME + 100 : FRAME + 133] = 0
    signal[2 * FRAME + 8 : 2 * FRAME + 12] = 0
    write_recording(tmp_path / "t/a/x_433.92M_16k.cf32", signal)
    frames = lay_out(tmp_path / "t")
    assert render_frames(frames, rendering(frames), decoding(tmp_path), never)[1] == 1


@pytest.mark.parametrize("make", [render_frames, augment_frames])
def test_recordings_that_break_while_being_read_are_counted_and_named(frames, tmp_path, make):
    broken = [frames.tree.root / name for name, _ in frames.tree.samples[:3]]
    signal = make_signal("tones", 4 * FRAME, 1)
    signal[700] = np.nan
    write_recording(broken[0], signal)
    broken[1].write_bytes(broken[1].read_bytes()[:-800])
    broken[2].unlink()
    with pytest.raises(UnusableRecordingError) as caught:
        make(frames, rendering(frames), decoding(tmp_path), never)
    assert caught.value.message.startswith("3 recordings")
    assert all(path.name in caught.value.message for path in broken)


def test_a_recording_that_vanishes_between_epochs_is_named(frames, tmp_path):
    source = augmented(frames, tmp_path, budget=0)
    (frames.tree.root / frames.tree.samples[-1][0]).unlink()
    with pytest.raises(UnusableRecordingError, match=r"1 recording .*tones/3_433"):
        pictures_of(BatchSource(source, 8, CPU))


@pytest.mark.parametrize("make", [render_frames, augment_frames])
@pytest.mark.parametrize("questions", [0, 1])
def test_making_frames_ends_early_when_asked(frames, tmp_path, make, questions):
    asked = iter(range(100))
    assert make(frames, rendering(frames), decoding(tmp_path), lambda: next(asked) >= questions) is None
