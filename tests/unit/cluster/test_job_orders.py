"""A job's file means exactly what the same body means over HTTP, and what is wrong in it is said with key, file and remedy."""

from pathlib import Path

import pytest

import configs
from cluster.jobs.orders import KINDS, JobFileError, check_request, read_job_file, stem_of, with_task_id
from cluster.jobs.sweeps import plan_runs, read_sweep
from configs.settings import Settings

TRAINING = {"model": "resnet18", "num_classes": 2, "train_path": "t", "val_path": "v", "save_path": "s", "name": "n"}
EXAMPLES = Path(configs.__file__).parent


def write(folder, text):
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


class TestReadingAFile:
    def test_it_holds_keys_and_values(self, tmp_path):
        file = read_job_file("train", write(tmp_path, "model: resnet18\nnum_classes: 2\n"))
        assert (file.kind, file.values) == ("train", {"model": "resnet18", "num_classes": 2})

    @pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words", "1: 2\n"])
    def test_anything_else_is_refused_with_the_files_name(self, tmp_path, text):
        path = write(tmp_path, text)
        with pytest.raises(JobFileError, match=r"key: value.*configs/\*/example.yaml") as refused:
            read_job_file("train", path)
        assert str(path) in str(refused.value)

    def test_a_file_that_is_not_there_says_where_names_start(self, tmp_path):
        with pytest.raises(JobFileError, match=r"No such file.*working folder"):
            read_job_file("train", tmp_path / "none.yaml")

    def test_a_date_that_there_is_not_is_refused_with_the_files_name(self, tmp_path):
        with pytest.raises(JobFileError, match=r"job.yaml is not YAML: month must be"):
            read_job_file("train", write(tmp_path, "name: 2024-13-45\n"))

    def test_broken_yaml_names_the_line(self, tmp_path):
        with pytest.raises(JobFileError, match="line 2"):
            read_job_file("train", write(tmp_path, "model: resnet18\n  num_classes: [2\n"))


class TestCheckingARequest:
    def test_an_unknown_key_gets_the_nearest_one_as_remedy(self):
        wrong = {**TRAINING, "batchsize": 8}
        with pytest.raises(JobFileError, match=r"job.yaml: batchsize: there is no such key; did you mean batch_size\?"):
            check_request("train", wrong, "job.yaml")

    def test_an_unknown_key_like_no_other_gets_the_list(self):
        with pytest.raises(JobFileError, match=r"xyzzy: there is no such key; leave it out; there are .*num_epochs"):
            check_request("train", {**TRAINING, "xyzzy": 1}, "job.yaml")

    def test_everything_that_is_wrong_is_told_at_once(self):
        wrong = {**TRAINING, "device": "banana", "batch_size": 0}
        del wrong["num_classes"]
        with pytest.raises(JobFileError) as refused:
            check_request("train", wrong, "job.yaml")
        lines = str(refused.value).splitlines()
        assert len(lines) == 3
        assert any("num_classes: this key is required" in line for line in lines)
        assert any("device" in line and "'banana'" in line for line in lines)

    def test_the_submission_is_the_one_that_http_makes(self):
        from serve_app.schemas.training import TrainingRequest
        from serve_app.submissions import training_submission

        settings = Settings()
        body = {**TRAINING, "task_id": "a"}
        ours = KINDS["train"].build(check_request("train", body, "job.yaml"), settings)
        assert ours == training_submission(TrainingRequest(**body), settings)


class TestTheTasksId:
    def test_it_is_the_jobs(self):
        assert with_task_id(TRAINING, "raysubmit_ab12")["task_id"] == "raysubmit_ab12"

    def test_the_files_own_wins(self):
        assert with_task_id({**TRAINING, "task_id": "mine"}, "raysubmit_ab12")["task_id"] == "mine"

    def test_without_a_job_each_run_is_a_task_of_its_own(self):
        assert "task_id" not in with_task_id(TRAINING, "")

    @pytest.mark.parametrize("job_id", ["with space", "a/b", "..", "x" * 200, "größe"])
    def test_an_id_that_no_task_can_have_becomes_a_lasting_digest(self, job_id):
        made = stem_of(job_id)
        assert made.startswith("job-")
        assert len(made) < 64
        assert made == stem_of(job_id) != stem_of(job_id + "x")


class TestTheExamples:
    @pytest.mark.parametrize("kind", sorted(KINDS))
    def test_each_kind_has_one_that_passes_the_checks(self, kind):
        file = read_job_file(kind, EXAMPLES / kind / "example.yaml")
        check_request(kind, file.values, file.where)

    def test_the_sweeps_is_planned_whole(self):
        file = read_job_file("sweep", EXAMPLES / "sweep" / "example.yaml")
        assert len(plan_runs(read_sweep(file.values, file.where), "stem", file.where)) == 6
