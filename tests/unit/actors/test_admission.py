from dataclasses import replace

import pytest
import yaml
from PIL import Image

from actors.admission import Admission, check_room
from actors.core.errors import LineFullError, SubmissionError
from actors.core.model import WorkKind
from actors.core.tasks import Submission, Task, TaskState
from actors.learning.checkpoint_list import CheckpointList


@pytest.fixture
def root(tmp_path):
    for part in ("train", "valid"):
        for name in ("a", "b"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / "1.png")
    (tmp_path / "w.pth").write_bytes(b"weights")
    config = {"model": "resnet18", "num_classes": 2, "class_names": {"a": 0, "b": 1}, "image_size": 64}
    (tmp_path / "cfg.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


def training(**changes):
    request = {
        "model": "resnet18",
        "num_classes": 2,
        "num_epochs": 1,
        "train_path": "data/train",
        "val_path": "data/valid",
        "image_size": 64,
    }
    request |= changes
    return Submission("t", WorkKind.TRAINING, "training", request, "cpu", 5, output_path="out")


def inference(**changes):
    request = {"cfg_path": "cfg.yaml", "weight_path": "w.pth", "source_path": "data/valid"} | changes
    return Submission("t", WorkKind.INFERENCE, "inference", request, "cpu", 3, output_path="out")


def refusal(root, submission):
    with pytest.raises(SubmissionError) as caught:
        Admission([root]).check(submission)
    return caught.value.code, caught.value.field


def test_a_sound_submission_comes_back_with_its_paths_resolved(root):
    checked = Admission([root]).check(training())
    assert checked.resolved["train_path"] == str(root / "data/train")
    assert checked.resolved["output"] == str(root / "out")
    assert checked == training(), "what was asked for stays as it was"
    assert Admission([root]).check(inference()).resolved["cfg_path"] == str(root / "cfg.yaml")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model": "resnet19"}, ("unknown_model", "model")),
        ({"model": "vit_b_16", "image_size": 64}, ("invalid_image_size", "image_size")),
        ({"num_classes": 1}, ("too_few_classes", "num_classes")),
        ({"train_path": "nowhere"}, ("path_not_found", "train_path")),
        ({"val_path": "../.."}, ("path_forbidden", "val_path")),
        ({"train_path": "data/train/a"}, ("dataset_invalid", "train_path")),
        ({"weight_path": "none.pth"}, ("path_not_found", "weight_path")),
    ],
)
def test_what_can_be_known_to_be_wrong_with_a_training_is_refused(root, changes, expected):
    assert refusal(root, training(**changes)) == expected


def test_an_unknown_model_comes_with_its_nearest_neighbours(root):
    with pytest.raises(SubmissionError, match="resnet18"):
        Admission([root]).check(training(model="resnet19"))


def test_an_empty_class_folder_is_refused_by_name(root):
    (root / "data/train/c").mkdir()
    with pytest.raises(SubmissionError, match=r"train_path: .*c"):
        Admission([root]).check(training(num_classes=3))


def test_a_class_that_only_validation_has_is_refused(root):
    (root / "data/valid/a").rename(root / "data/valid/x")
    assert refusal(root, training()) == ("dataset_invalid", "val_path")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"cfg_path": "none.yaml"}, ("path_not_found", "cfg_path")),
        ({"weight_path": "none.pth"}, ("path_not_found", "weight_path")),
        ({"source_path": "/etc"}, ("path_forbidden", "source_path")),
        ({"cfg_path": "w.pth"}, ("config_invalid", "cfg_path")),
        ({"source_path": "w.pth"}, ("dataset_invalid", "source_path")),
    ],
)
def test_what_can_be_known_to_be_wrong_with_an_inference_is_refused(root, changes, expected):
    code, field = refusal(root, inference(**changes))
    assert field == expected[1]
    if expected[0] != "dataset_invalid":
        assert code == expected[0]


def test_an_output_that_is_a_file_or_outside_is_refused(root):
    assert refusal(root, replace(training(), output_path="w.pth")) == ("invalid_path", "save_path")
    assert refusal(root, replace(training(), output_path="/tmp/elsewhere")) == ("path_forbidden", "save_path")


def test_work_that_nobody_can_do_is_refused(root):
    assert refusal(root, replace(training(), work=WorkKind.PREPROCESSING))[0] == "unknown_work"


class TestResuming:
    def ended(self, root, owner):
        """The training t, whose folder holds a checkpoint and the list of whoever trained there last."""
        (root / "out").mkdir()
        (root / "out/last.ckpt").write_bytes(b"state")
        CheckpointList(owner, ()).write(root / "out/checkpoints.json")
        submission = replace(training(), resolved={"output": str(root / "out")})
        return Task(submission, TaskState.COMPLETED, 0.0, 0.0)

    def test_a_training_is_gone_on_from_its_own_checkpoint(self, root):
        assert Admission([root]).find_checkpoint(self.ended(root, "t"), "t") == str(root / "out/last.ckpt")

    def test_the_checkpoint_of_another_training_in_the_same_folder_is_not_taken_for_its_own(self, root):
        with pytest.raises(SubmissionError, match=r"'t' left no last\.ckpt") as caught:
            Admission([root]).find_checkpoint(self.ended(root, "t-2"), "t")
        assert (caught.value.code, caught.value.field) == ("no_checkpoint", "resume_from")


class TestRoomInLine:
    def waiting(self, *batches):
        tasks = (
            Submission(f"w{number}", WorkKind.INFERENCE, "inference", {}, "cpu", 3, batch_id=each)
            for number, each in enumerate(batches)
        )
        return [Task(each, TaskState.QUEUED, 0.0, 0.0) for each in tasks]

    def test_a_full_line_takes_nothing_more(self):
        check_room(training(), self.waiting("", ""), 3)
        with pytest.raises(LineFullError, match="2 tasks are waiting"):
            check_room(training(), self.waiting("", ""), 2)

    def test_a_batch_is_one_entry_and_never_finds_the_line_full_of_itself(self):
        waiting = self.waiting("b", "b", "b", "")
        check_room(training(), waiting, 3)
        check_room(replace(training(), batch_id="b"), waiting, 2)
        with pytest.raises(LineFullError):
            check_room(replace(training(), batch_id="other"), waiting, 2)


class TestRecordings:
    @pytest.fixture
    def recordings(self, root):
        (root / "iq").mkdir()
        (root / "iq/x_433.92M_250k.cu8").write_bytes(bytes(1000))
        return "iq"

    def test_without_a_recipe_they_are_refused_by_the_field_that_is_missing(self, root, recordings):
        assert refusal(root, inference(source_path=recordings)) == ("recipe_missing", "recipe")

    def test_with_a_recipe_in_the_request_or_the_configuration_they_are_taken(self, root, recordings):
        admission = Admission([root])
        checked = admission.check(inference(source_path=recordings, recipe={"pipeline": "native"}))
        assert checked.resolved["source_path"] == str(root / "iq")
        with (root / "cfg.yaml").open("a") as file:
            file.write("recipe: {pipeline: native}\n")
        admission.check(inference(source_path=recordings))

    def test_recordings_of_which_none_can_be_used_are_refused_with_the_reason(self, root, recordings):
        (root / "iq/x_433.92M_250k.cu8").rename(root / "iq/x.cu8")
        chosen = inference(source_path=recordings, recipe={"pipeline": "native"})
        assert refusal(root, chosen) == ("sample_rate", "sample_rate")
        Admission([root]).check(inference(source_path=recordings, recipe={"pipeline": "native"}, sample_rate=250e3))
        (root / "iq/y_433.92M_250k.cu8").write_bytes(bytes(1000))
        Admission([root]).check(chosen)

    def test_a_recipe_that_cannot_be_used_at_the_recordings_rate_is_refused(self, root, recordings):
        chosen = inference(source_path=recordings, recipe={"pipeline": "native", "frame_duration_s": 1e-4})
        assert refusal(root, chosen) == ("recipe_invalid", "recipe")

    def test_a_file_of_any_name_is_one_where_its_datatype_is_told(self, root):
        (root / "capture.raw").write_bytes(bytes(1000))
        given = {"source_path": "capture.raw", "recipe": {"pipeline": "native"}, "sample_rate": 250e3}
        assert refusal(root, inference(**given))[1] == "source_path"
        Admission([root]).check(inference(**given, format="cu8"))
