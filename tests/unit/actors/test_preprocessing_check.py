"""What is refused of a preprocessing task before it waits in line."""

from pathlib import Path

import pytest
from PIL import Image

from actors.admission import Admission
from actors.core.errors import SubmissionError
from actors.core.model import WorkKind
from actors.core.tasks import Submission
from actors.preprocessing import recording_survey
from actors.signals.recording import open_recording
from actors.spectrogram_check import MOST_HEADERS
from tests.http.test_http_imports import loaded_by


@pytest.fixture
def root(tmp_path):
    for part in ("train", "valid"):
        for name in ("a", "b"):
            folder = tmp_path / "set" / part / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "1.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def split(source, output="out"):
    return Submission("t", WorkKind.PREPROCESSING, "dataset_split", {"input_path": str(source)}, "cpu", 5, output_path=str(output))


def augment(dataset, output="out"):
    request = {"dataset_path": str(dataset)}
    return Submission("t", WorkKind.PREPROCESSING, "data_augmentation", request, "cpu", 5, output_path=str(output))


def crop(source, output="out"):
    return Submission("t", WorkKind.PREPROCESSING, "image_crop", {"input_path": str(source)}, "cpu", 5, output_path=str(output))


def refusal(root, submission):
    with pytest.raises(SubmissionError) as caught:
        Admission([root]).check(submission)
    return caught.value.code, caught.value.field


@pytest.mark.parametrize(
    ("submission", "resolved"),
    [
        (split("set/train"), {"input_path": "set/train", "output": "out"}),
        (augment("set/"), {"dataset_path": "set", "output": "out"}),
        (crop("set/train/a/1.png"), {"input_path": "set/train/a/1.png", "output": "out"}),
        (crop("set"), {"input_path": "set", "output": "out"}),
    ],
)
def test_a_sound_task_comes_back_with_its_paths_resolved(root, submission, resolved):
    assert Admission([root]).check(submission).resolved == {name: str(root / path) for name, path in resolved.items()}


@pytest.mark.parametrize("make", [split, augment, crop])
def test_paths_must_be_there_and_inside_the_roots(root, make):
    field = "dataset_path" if make is augment else "input_path"
    assert refusal(root, make("nowhere")) == ("path_not_found", field)
    assert refusal(root, make("/etc")) == ("path_forbidden", field)
    assert refusal(root, make("set", "../elsewhere")) == ("path_forbidden", "output_path")
    assert refusal(root, make("set/train" if make is split else "set", "notes.txt")) == ("invalid_path", "output_path")


def test_a_link_that_leads_out_of_the_roots_is_refused(root, tmp_path_factory):
    (root / "link").symlink_to(tmp_path_factory.mktemp("outside"))
    assert refusal(root, split("link")) == ("path_forbidden", "input_path")
    assert refusal(root, split("set/train", "link/out")) == ("path_forbidden", "output_path")


def test_what_holds_nothing_to_work_on_is_refused(root):
    assert refusal(root, split("set/train/a"))[1] == "input_path"
    assert refusal(root, augment("set/train")) == ("no_pictures_found", "dataset_path")
    assert refusal(root, crop("notes.txt")) == ("no_pictures_found", "input_path")


@pytest.mark.parametrize(
    "submission",
    [
        split("set/train", "set/train"),
        split("set/train", "set/train/out"),
        augment("set", "set"),
        augment("set", "set/aug"),
        crop("set", "set/cut"),
    ],
)
def test_no_task_may_write_into_what_it_reads(root, submission):
    assert refusal(root, submission) == ("config_invalid", "output_path")


def test_reading_beside_what_is_written_is_allowed(root):
    (root / "set/train").rename(root / "all")
    assert Admission([root]).check(split("all", ".")).resolved["output"] == str(root)


def test_an_input_that_is_the_root_itself_has_no_sibling_inside(root):
    (Path(root) / "train").symlink_to(root / "set/train")
    assert refusal(root, augment(root, f"{root}_aug")) == ("path_forbidden", "output_path")


def test_a_type_that_nobody_can_do_is_refused(root):
    assert refusal(root, Submission("t", WorkKind.PREPROCESSING, "repainting", {}, "cpu", 5))[0] == "unknown_work"


RECIPE = {"pipeline": "native", "nfft": 64, "frame_duration_s": 0.01}


class TestRecordings:
    """A spectrogram task is refused with the field to blame, from the headers of its recordings."""

    @pytest.fixture
    def recordings(self, root):
        for name in ("a/one_100ksps.cu8", "b/two_100ksps.cu8"):
            path = root / "iq" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(4000))
        return root

    @staticmethod
    def spectrogram(source="iq", output="out", **changes):
        told = {"sample_rate": None, "center_frequency": None, "format": None}
        request = {"input_path": str(source), "recipe": RECIPE, **told, **changes}
        return Submission("t", WorkKind.PREPROCESSING, "spectrogram", request, "cpu", 5, output_path=str(output))

    @pytest.mark.parametrize("source", ["iq", "iq/a", "iq/a/one_100ksps.cu8"])
    def test_a_sound_one_comes_back_with_its_paths_resolved(self, recordings, source):
        resolved = Admission([recordings]).check(self.spectrogram(source)).resolved
        assert resolved == {"input_path": str(recordings / source), "output": str(recordings / "out")}

    def test_paths_are_checked_as_those_of_other_tasks(self, recordings):
        assert refusal(recordings, self.spectrogram("nowhere")) == ("path_not_found", "input_path")
        assert refusal(recordings, self.spectrogram("/etc")) == ("path_forbidden", "input_path")
        assert refusal(recordings, self.spectrogram("iq", "iq/a/out")) == ("config_invalid", "output_path")
        assert refusal(recordings, self.spectrogram("set")) == ("no_recordings_found", "input_path")
        assert refusal(recordings, self.spectrogram("notes.txt")) == ("no_recordings_found", "input_path")

    def test_a_recording_may_be_drawn_into_its_own_folder(self, recordings):
        assert Admission([recordings]).check(self.spectrogram("iq/a/one_100ksps.cu8", "iq/a")).resolved["output"]

    @pytest.mark.parametrize(
        ("name", "content", "found"),
        [
            ("cut_100ksps.cu8", bytes(401), ("unreadable_recording", "input_path")),
            ("empty_100ksps.cu8", b"", ("unreadable_recording", "input_path")),
            ("lying.sigmf-meta", b"{}", ("recording_metadata", "input_path")),
            ("mute.cu8", bytes(400), ("sample_rate", "sample_rate")),
            ("fast_10000ksps.cu8", bytes(400_000), ("sample_rate", "recipe")),
        ],
    )
    def test_a_recording_that_cannot_be_used_is_refused_by_name(self, recordings, name, content, found):
        (recordings / "iq/a" / name).write_bytes(content)
        assert refusal(recordings, self.spectrogram()) == found
        with pytest.raises(SubmissionError, match=name.partition(".")[0]):
            Admission([recordings]).check(self.spectrogram())

    @pytest.mark.parametrize(
        ("recipe", "code"),
        [
            ({**RECIPE, "nfft": 4096}, "recipe_invalid"),
            ({**RECIPE, "sample_rate": 1e3, "frame_duration_s": 0.1}, "all_files_failed"),
            ({**RECIPE, "sample_rate": 50e3, "nfft": 64, "allow_resampling": False}, "all_files_failed"),
            ({**RECIPE, "frame_duration_s": 1.0, "short": "refuse"}, "all_files_failed"),
        ],
    )
    def test_a_recipe_that_does_not_fit_is_refused(self, recordings, recipe, code):
        assert refusal(recordings, self.spectrogram(recipe=recipe)) == (code, "recipe")

    def test_a_recipe_that_does_not_fit_one_of_the_recordings_is_refused_by_its_name(self, recordings):
        (recordings / "iq/b/fast_10000ksps.cu8").write_bytes(bytes(400_000))
        request = self.spectrogram(recipe={**RECIPE, "sample_rate": 100e3})
        assert refusal(recordings, request) == ("resampling_refused", "recipe")

    def test_one_that_is_too_short_among_others_is_not(self, recordings):
        (recordings / "iq/a/short_100ksps.cu8").write_bytes(bytes(40))
        assert Admission([recordings]).check(self.spectrogram(recipe={**RECIPE, "short": "refuse"}))

    def test_only_so_many_headers_are_read(self, recordings, monkeypatch):
        read = []
        monkeypatch.setattr(
            recording_survey, "open_recording", lambda path, **told: read.append(path) or open_recording(path, **told)
        )
        for number in range(3 * MOST_HEADERS):
            (recordings / f"iq/b/more{number}_100ksps.cu8").write_bytes(bytes(2000))
        Admission([recordings]).check(self.spectrogram())
        assert MOST_HEADERS / 2 < len(read) <= MOST_HEADERS

    def test_the_check_loads_no_torch(self):
        assert loaded_by("actors.spectrogram_check", "torch", "cv2") == []
