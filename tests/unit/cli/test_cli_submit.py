"""Submissions: options and files become the request that the service gets; --dry-run submits nothing."""

import inspect
import json

import pytest
import yaml

from actors.core.errors import LineFullError, SubmissionError
from cluster.commands.request_options import field_options
from serve_app.schemas.evaluate import EvaluationRequest
from serve_app.schemas.inference import BatchInferenceRequest, InferenceRequest
from serve_app.schemas.models import RegisterRequest
from serve_app.schemas.preprocessing import AugmentRequest, CropRequest, SpectrogramRequest, SplitRequest
from serve_app.schemas.training import TrainingRequest

NEEDED = ("--model", "resnet18", "--num-classes", 3, "--train-path", "t", "--val-path", "v", "--save-path", "out")
FILES = ("--cfg-path", "c.yaml", "--weight-path", "w.pth")
CLASSES = {
    "train": TrainingRequest,
    "infer": InferenceRequest,
    "infer-batch": BatchInferenceRequest,
    "evaluate": EvaluationRequest,
    "prepare split": SplitRequest,
    "prepare augment": AugmentRequest,
    "prepare crop": CropRequest,
    "prepare spectrogram": SpectrogramRequest,
    "models register": RegisterRequest,
}


def submitted(world):
    (submission,) = world.tasks.submissions
    return submission


@pytest.mark.parametrize("command", CLASSES)
def test_every_field_of_the_request_is_an_option(run, command):
    text = run(*command.split(), "--help", env={"COLUMNS": "300"}).output
    for name in CLASSES[command].model_fields:
        assert f"--{name.replace('_', '-')} " in text, name
    assert {"--url", "--api-key", "--json", "--file"} <= {word for word in text.split() if word.startswith("--")}


def test_no_option_of_a_request_hides_one_of_the_command():
    own = {"file", "follow", "dry_run", "json", "url", "api_key", "help"}
    for schema in CLASSES.values():
        names = [each.name for each in field_options(schema)]
        assert not own & set(names)
        assert len(names) == len(set(names))
        assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in field_options(schema))


def test_a_training_gets_the_fields_that_were_given_and_no_others(run, world):
    answer = run("train", *NEEDED, "--batch-size", 4, "--no-shuffle", "--amp", "false", "--keep-checkpoints", 2, "--task-id", "t1")
    assert "t1 is" in answer.stdout
    assert "rfuav tasks follow t1" in answer.stdout
    parameters = submitted(world).request
    assert (parameters["batch_size"], parameters["shuffle"], parameters["amp"]) == (4, False, False)
    assert (parameters["keep_checkpoints"], parameters["num_epochs"]) == (2, 100)


def test_json_is_the_answer_of_the_service_in_one_line(run):
    (line,) = run("train", *NEEDED, "--task-id", "t1", "--json").stdout.splitlines()
    assert {"task_id": "t1", "task_type": "training"}.items() <= json.loads(line).items()


def test_options_win_over_the_file_field_by_field(run, world, tmp_path):
    request = {"model": "resnet18", "num_classes": 3, "train_path": "t", "val_path": "v", "save_path": "out", "batch_size": 2}
    request["recipe"] = {"pipeline": "native", "nfft": 64}
    (tmp_path / "request.yaml").write_text(yaml.safe_dump(request))
    run("train", "--file", tmp_path / "request.yaml", "--num-classes", 5, "--recipe-nfft", 128)
    parameters = submitted(world).request
    assert (parameters["num_classes"], parameters["batch_size"]) == (5, 2)
    assert (parameters["recipe"]["pipeline"], parameters["recipe"]["nfft"]) == ("native", 128)


def test_an_object_may_come_from_a_file_of_its_own(run, world, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({"pipeline": "native", "nfft": 64}))
    spans = ("--augmentation-snr-db", -5, 10)
    run("train", *NEEDED, "--recipe", tmp_path / "recipe.json", "--recipe-nfft", 256, *spans)
    assert submitted(world).request["recipe"]["nfft"] == 256
    assert list(submitted(world).request["augmentation"]["snr_db"]) == [-5, 10]


def test_a_request_may_come_from_stdin(world):
    from typer.testing import CliRunner

    from cluster.cli import app

    body = json.dumps({"input_path": "a", "output_path": "b"})
    assert CliRunner().invoke(app, ["prepare", "split", "--file", "-"], input=body, env={"RFUAV_URL": world.url}).exit_code == 0
    assert submitted(world).task_type == "dataset_split"


@pytest.mark.parametrize(
    ("command", "task_type"),
    [
        (("infer", *FILES, "--source-path", "p"), "inference"),
        (("evaluate", *FILES, "--data-path", "p", "--snr-db", -5, "--snr-db", 0), "evaluate"),
        (("prepare", "split", "--input-path", "a", "--output-path", "b", "--train-ratio", 0.7), "dataset_split"),
        (("prepare", "augment", "--dataset-path", "a", "--methods", "CLAHE"), "data_augmentation"),
        (
            ("prepare", "crop", "--input-path", "a", "--output-path", "b", "--x", 1, "--y", 0, "--width", 9, "--height", 9),
            "image_crop",
        ),
        (("prepare", "spectrogram", "--input-path", "a", "--output-path", "b", "--recipe-pipeline", "native"), "spectrogram"),
    ],
)
def test_each_kind_of_task_can_be_submitted_and_tried_dry(run, world, command, task_type):
    assert "would start" in run(*command, "--dry-run").stdout
    assert json.loads(run(*command, "--dry-run", "--json").stdout)["would_start"] is True
    assert not world.tasks.flow.tasks
    task_id = json.loads(run(*command, "--json").stdout)["task_id"]
    assert world.tasks.submissions[-1].task_type == task_type
    assert task_id in world.tasks.flow.tasks


def test_a_list_is_given_by_repeating_and_emptied_by_name(run, world):
    command = ("evaluate", *FILES, "--data-path", "p")
    run(*command, "--snr-db", -5, "--snr-db", 0.5)
    run(*command, "--no-snr-db")
    assert [list(each.request["snr_db"]) for each in world.tasks.submissions] == [[-5, 0.5], []]


def test_a_batch_takes_its_sources_as_arguments(run, world):
    answer = json.loads(run("infer-batch", "a", "b", *FILES, "--save-base-path", "out", "--json").stdout)
    assert answer["total"] == 2
    assert [each.output_path for each in world.tasks.submissions] == ["out/0", "out/1"]
    assert "1 tasks; `rfuav batches follow " in run("infer-batch", "a", *FILES).stdout


def test_a_batch_is_explained_by_its_first_source(run, world):
    assert json.loads(run("infer-batch", "a", "b", *FILES, "--dry-run", "--json").stdout)["would_start"] is True
    assert world.tasks.submissions[0].request["source_path"] == "a"


class TestRefusals:
    def test_what_is_missing_is_named_by_option_before_anything_is_sent(self, run, world):
        said = run("train", "--model", "resnet18", code=2).stderr
        assert said.startswith("rfuav: ")
        assert all(option in said for option in ("--num-classes", "--train-path", "--val-path", "--save-path"))
        assert not world.tasks.submissions

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("--batch-size", "0", "greater than or equal to 1"),
            ("--batch-size", "many", "integer"),
            ("--device", "gpu", "cuda"),
            ("--model", "resnet1", "resnet18"),
            ("--priority", "11", "10"),
            ("--name", "a/b", "slashes"),
        ],
    )
    def test_a_wrong_value_is_told_with_its_option(self, run, option, value, words):
        said = run("train", *NEEDED, option, value, code=2).stderr
        assert option in said
        assert words in said
        assert value in said

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("a: [", "YAML"),
            ("a: 2024-13-45", "r.yaml is neither"),
            ("- 1", "field: value"),
            ("batchsize: 3", "batchsize"),
            (None, "No such file"),
        ],
    )
    def test_a_file_that_is_no_request_is_told(self, run, tmp_path, content, words):
        if content is not None:
            (tmp_path / "r.yaml").write_text(content)
        assert words in run("train", *NEEDED, "--file", tmp_path / "r.yaml", code=2).stderr

    def test_a_path_that_is_not_there_is_bad_input(self, run, world):
        world.tasks.refusals = [SubmissionError("path_not_found", "train_path", "'t' does not exist", "check the spelling")]
        assert "'t' does not exist" in run("train", *NEEDED, code=2).stderr

    def test_a_path_outside_the_data_roots_is_refused(self, run, world):
        world.tasks.refusals = [SubmissionError("path_forbidden", "train_path", "'/etc' is outside", "use a data root")]
        assert "outside" in run("train", *NEEDED, code=3).stderr

    def test_a_full_line_is_busy_and_says_when_to_try_again(self, run, world):
        world.tasks.refusals = [LineFullError("r1", "100 tasks are waiting")]
        assert "try again in 30 s" in run("train", *NEEDED, code=75).stderr

    def test_an_id_in_use_is_a_conflict(self, run):
        run("train", *NEEDED, "--task-id", "t1")
        run("infer", *FILES, "--source-path", "p", "--task-id", "t1", code=7)
