"""``rfuav tasks`` and ``rfuav batches``: what they tell, what they change, and the exit codes of what is not there."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from actors.core.lease_history import PastLease
from actors.core.model import GIB, Portion
from actors.core.tasks import Progress, TaskFault
from actors.learning.history_files import CONFUSION_JSON, METRICS_CSV, confusion_json, metrics_csv
from actors.learning.prediction_files import PREDICTIONS_JSON, Prediction, write_predictions
from tests.fakes import make_explanation, make_line
from tests.unit.cli.conftest import DEADLINE_S, wait_until

TRAIN = ("train", "--model", "resnet18", "--num-classes", 3, "--train-path", "t", "--val-path", "v", "--save-path", "out")
INFER = ("--cfg-path", "c.yaml", "--weight-path", "w.pth")


@pytest.fixture
def training(run, world):
    """A training t1 that runs."""
    run(*TRAIN, "--task-id", "t1", "--description", "night run")
    world.do(world.tasks.grant, "t1", "cuda:0")
    return "t1"


def state_of(world, task_id="t1"):
    return world.tasks.flow.get(task_id).state.value


class TestLooking:
    @pytest.mark.usefixtures("training")
    def test_the_list_has_a_row_for_each_task_newest_first(self, run):
        run(*TRAIN, "--task-id", "t2")
        heading, *rows = run("tasks", "list").stdout.splitlines()
        assert heading.split()[:3] == ["Task", "Type", "Status"]
        assert [row.split()[0] for row in rows] == ["t2", "t1"]
        assert "running" in rows[1]

    @pytest.mark.usefixtures("training")
    def test_the_list_as_json_is_the_page_of_the_service(self, run):
        page = json.loads(run("tasks", "list", "--json", "--status", "running", "--type", "training").stdout)
        assert [task["task_id"] for task in page["training_tasks"]] == ["t1"]

    @pytest.mark.usefixtures("training")
    def test_a_page_that_is_not_the_last_says_how_to_go_on(self, run):
        run(*TRAIN, "--task-id", "t2")
        cursor = run("tasks", "list", "--limit", 1).stderr.split()[-1]
        assert [line.split()[0] for line in run("tasks", "list", "--cursor", cursor).stdout.splitlines()] == ["Task", "t1"]

    @pytest.mark.usefixtures("training")
    def test_a_search_looks_into_every_page(self, run):
        for number in range(3):
            run(*TRAIN, "--task-id", f"x{number}")
        assert [task["task_id"] for task in json.loads(run("tasks", "list", "--search", "NIGHT", "--json").stdout)["tasks"]] == [
            "t1"
        ]
        assert run("tasks", "list", "--search", "nowhere").stdout == "no tasks\n"

    @pytest.mark.usefixtures("training")
    def test_one_task_is_shown_with_what_is_known_of_it(self, run, world):
        world.do(world.tasks.progress, "t1", Progress(40, "half", metrics={"val_acc": 81.5}))
        text = run("tasks", "show", "t1").stdout
        assert "night run" in text
        assert "81.5" in text
        assert json.loads(run("tasks", "show", "t1", "--json").stdout)["progress"] == 40

    @pytest.mark.usefixtures("training")
    def test_a_log_can_be_cut_by_lines_and_by_level(self, run, world):
        lines = [make_line("one"), make_line("two", level="WARNING"), make_line("three\x1b[2J")]
        world.wait(world.logs.write("t1", *lines))
        assert [line.split(maxsplit=2)[2] for line in run("tasks", "log", "t1").stdout.splitlines()] == ["one", "two", "three [2J"]
        assert "one" not in run("tasks", "log", "t1", "--tail", 1).stdout
        assert run("tasks", "log", "t1", "--level", "warning").stdout.endswith("WARNING two\n")
        assert [json.loads(line)["message"] for line in run("tasks", "log", "t1", "--after", 2, "--json").stdout.splitlines()] == [
            "three\x1b[2J"
        ]

    def test_why_a_task_waits_is_told_with_its_remedy(self, run, world):
        run(*TRAIN, "--task-id", "t1")
        world.do(world.tasks.queue, "t1", 1)
        attempt = world.tasks.flow.get("t1").attempt_id
        world.resources.explanations[attempt] = make_explanation(attempt)
        text = run("tasks", "why", "t1").stdout
        assert all(word in text for word in ("queued", "limit", "the end of one of them", "ahead (training, cuda:0, 2 GB)"))
        assert json.loads(run("tasks", "why", "t1", "--json").stdout)["missing"] == "limit"

    @pytest.mark.usefixtures("training")
    def test_the_history_has_a_row_for_each_step(self, run):
        rows = run("tasks", "history", "t1").stdout.splitlines()
        assert len(rows) == 1 + len(json.loads(run("tasks", "history", "t1", "--json").stdout)["history"])

    @pytest.mark.usefixtures("training")
    def test_the_leases_are_told_by_themselves_and_with_the_task(self, run, world):
        gang = (Portion("cuda:0", 1_500, 8 * GIB), Portion("cuda:1", 1_500, 8 * GIB))
        begin = world.tasks.flow.get("t1").submitted_at
        world.resources.past["t1"] = (
            PastLease("a", "t1.1", gang, granted_at=begin, closed_at=begin + 9, cause="holder_died"),
            PastLease("b", "t1.2", gang[:1], granted_at=begin + 10),
        )
        text = run("tasks", "leases", "t1").stdout
        assert all(word in text for word in ("0.15 of cuda:0, 0.15 of cuda:1", "16 GB", "holder_died", "held"))
        assert text.splitlines()[1:] == run("tasks", "show", "t1").stdout.splitlines()[-2:]
        assert len(json.loads(run("tasks", "leases", "t1", "--json").stdout)["leases"]) == 2
        assert "leases" not in json.loads(run("tasks", "show", "t1", "--json").stdout)


class TestSteering:
    def test_a_waiting_task_leaves_the_line(self, run, world):
        run(*TRAIN, "--task-id", "t1")
        assert "t1: task cancelled" in run("tasks", "cancel", "t1").stdout
        assert state_of(world) == "cancelled"

    @pytest.mark.usefixtures("training")
    @pytest.mark.parametrize("command", ["cancel", "stop", "kill"])
    def test_a_running_training_is_asked_to_end(self, run, world, command):
        assert json.loads(run("tasks", command, "t1", "--json").stdout)["task_id"] == "t1"
        assert world.tasks.flow.get("t1").ending.value == command

    def test_priority_changes_the_place_in_the_line(self, run, world):
        run(*TRAIN, "--task-id", "t1")
        world.do(world.tasks.queue, "t1", 1)
        run("tasks", "priority", "t1", 1)
        assert world.tasks.flow.get("t1").priority == 1
        run("tasks", "priority", "t1", 11, code=2)

    @pytest.mark.usefixtures("training")
    def test_only_an_ended_task_can_be_forgotten(self, run, world):
        run("tasks", "delete", "t1", code=6)
        world.do(world.tasks.finish, "t1")
        run("tasks", "delete", "t1")
        assert not world.tasks.flow.tasks

    @pytest.mark.parametrize(
        "command", ["show", "log", "follow", "cancel", "stop", "kill", "delete", "why", "history", "leases", "files", "metrics"]
    )
    def test_what_is_not_there_has_an_exit_code_of_its_own(self, run, command):
        result = run("tasks", command, "nobody", code=6)
        assert "nobody" in result.stderr
        assert result.stdout == ""


class TestWhatTasksWrote:
    @pytest.fixture
    def folder(self, settings):
        folder = settings.data_roots[0] / "out"
        (folder / "deep").mkdir(parents=True)
        return folder

    @pytest.mark.usefixtures("training")
    def test_files_are_listed_and_fetched_with_their_folders(self, run, folder, tmp_path):
        (folder / "a.txt").write_text("a")
        (folder / "deep" / "b.txt").write_text("b")
        assert [each["path"] for each in json.loads(run("tasks", "files", "t1", "--json").stdout)["files"]] == [
            "a.txt",
            "deep/b.txt",
        ]
        run("tasks", "download", "t1", "--to", tmp_path / "here")
        assert ((tmp_path / "here/a.txt").read_text(), (tmp_path / "here/deep/b.txt").read_text()) == ("a", "b")
        assert run("tasks", "download", "t1", "deep/b.txt", "--to", tmp_path).stdout == f"{tmp_path}/deep/b.txt\n"

    @pytest.mark.usefixtures("training", "folder")
    def test_a_file_above_the_target_is_never_written(self, run, tmp_path):
        assert "no file below" in run("tasks", "download", "t1", "../x", "--to", tmp_path, code=2).stderr

    @pytest.mark.usefixtures("training")
    def test_metrics_and_confusion_are_tables(self, run, folder):
        (folder / METRICS_CSV).write_text(metrics_csv([{"epoch": 1, "val_acc": 50.0}, {"epoch": 2, "val_acc": 75.0}]))
        (folder / CONFUSION_JSON).write_text(confusion_json([[1, 2], [3, 4]], ["a", "b"], 2))
        assert [line.split() for line in run("tasks", "metrics", "t1").stdout.splitlines()] == [
            ["epoch", "val_acc"],
            ["1", "50"],
            ["2", "75"],
        ]
        assert run("tasks", "confusion", "t1").stdout.splitlines()[2].split() == ["b", "3", "4"]

    def test_results_are_a_row_for_each_picture(self, run, world, folder):
        run("infer", *INFER, "--source-path", "p", "--task-id", "i1", "--save-path", "out")
        world.do(world.tasks.grant, "i1", "cpu:0")
        assert "no results yet" in run("tasks", "results", "i1").stdout
        write_predictions(folder, [Prediction("a.png", "AVATA", 99.0, (("AVATA", 99.0),))])
        assert (folder / PREDICTIONS_JSON).exists()
        world.do(world.tasks.finish, "i1")
        assert "AVATA" in run("tasks", "results", "i1").stdout
        assert json.loads(run("tasks", "results", "i1", "--json").stdout)["file"] == "a.png"


class TestBatches:
    @pytest.fixture
    def batch_id(self, run):
        return json.loads(run("infer-batch", "a", "b", *INFER, "--json").stdout)["batch_id"]

    def test_a_batch_is_shown_as_a_whole(self, run, batch_id):
        assert "pending 2" in run("batches", "show", batch_id).stdout
        assert json.loads(run("batches", "show", batch_id, "--json").stdout)["total"] == 2

    def test_cancelling_it_cancels_every_task_and_following_it_says_so(self, run, world, batch_id):
        run("batches", "cancel", batch_id)
        assert {task.state.value for task in world.tasks.flow.tasks.values()} == {"cancelled"}
        assert "100 %  cancelled: cancelled 2" in run("batches", "follow", batch_id, code=5).stdout

    def test_following_ends_with_the_batch(self, run, world, batch_id):
        for task_id in list(world.tasks.flow.tasks):
            world.do(world.tasks.grant, task_id, "cpu:0")
            world.do(world.tasks.finish, task_id)
        assert json.loads(run("batches", "follow", batch_id, "--json").stdout)["status"] == "completed"

    def test_an_unknown_batch_is_not_found(self, run):
        run("batches", "show", "nothing", code=6)
        run("batches", "cancel", "nothing", code=6)


class TestFollowing:
    def end(self, world, outcome, fault=None):
        world.do(world.tasks.finish, "t1", outcome, "over", fault)
        lines = [make_line("Epoch 1/2", metrics={"val_acc": 50.0}, progress=50), make_line("over", status=outcome)]
        world.wait(world.logs.write("t1", *lines, is_last=True))

    @pytest.mark.usefixtures("training")
    @pytest.mark.parametrize(("outcome", "code"), [("completed", 0), ("failed", 4), ("cancelled", 5)])
    def test_the_exit_code_is_that_of_the_end(self, run, world, outcome, code):
        if outcome == "cancelled":
            run("tasks", "cancel", "t1")
        self.end(world, outcome)
        lines = run("tasks", "follow", "t1", code=code).stdout.splitlines()
        assert [line.split(maxsplit=2)[2] for line in lines] == ["Epoch 1/2", "over"]

    @pytest.mark.usefixtures("training")
    def test_a_failure_is_told_with_its_remedy(self, run, world):
        self.end(world, "failed", TaskFault("gpu_out_of_memory", "the GPU is full", "use a smaller batch"))
        assert "the GPU is full (gpu_out_of_memory); use a smaller batch" in run("tasks", "follow", "t1", code=4).stderr

    @pytest.mark.usefixtures("training")
    def test_json_is_one_object_a_line(self, run, world):
        self.end(world, "completed")
        records = [json.loads(line) for line in run("tasks", "follow", "t1", "--json").stdout.splitlines()]
        assert [each["message"] for each in records] == ["Epoch 1/2", "over"]
        assert records[0]["metrics"] == {"val_acc": 50.0}
        assert records[1]["status"] == "completed"

    @pytest.mark.usefixtures("training")
    def test_following_can_begin_after_a_line(self, run, world):
        self.end(world, "completed")
        assert len(run("tasks", "follow", "t1", "--after", 1).stdout.splitlines()) == 1

    def test_a_submission_can_be_followed_at_once(self, run, world):
        def let_it_run():
            wait_until(lambda: "t1" in world.tasks.flow.tasks)
            world.do(world.tasks.grant, "t1", "cuda:0")
            world.do(world.tasks.finish, "t1")
            world.wait(world.logs.write("t1", make_line("over", status="completed"), is_last=True))

        with ThreadPoolExecutor(1) as beside:
            running = beside.submit(let_it_run)
            first, last = run(*TRAIN, "--task-id", "t1", "--follow", "--json").stdout.splitlines()
            running.result(DEADLINE_S)
        assert json.loads(first)["task_id"] == "t1"
        assert json.loads(last)["status"] == "completed"
