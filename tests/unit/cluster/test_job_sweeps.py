"""A sweep runs every combination once, and its table tells the best run."""

import csv
import io
import json

import pytest

from actors.core.model import WorkKind
from actors.core.tasks import Progress, Submission, Task, TaskState
from cluster.jobs.orders import JobFileError
from cluster.jobs.sweeps import MOST_RUNS, Outcome, as_csv, as_json, as_table, find_best, plan_runs, read_sweep

BASE = {"model": "resnet18", "num_classes": 2, "train_path": "t", "val_path": "v", "save_path": "s", "name": "lr"}
FILE = {"base": BASE, "grid": {"learning_rate": [0.1, 0.01], "batch_size": [4, 8]}}


def plan(**changes):
    return plan_runs(read_sweep({**FILE, **changes}, "sweep.yaml"), "job-1", "sweep.yaml")


def outcome(run, state=TaskState.COMPLETED, **metrics):
    submission = Submission(f"job-1.{run.name}", WorkKind.TRAINING, "training", {}, "cuda", 5, output_path=f"s/{run.name}")
    return Outcome(run, Task(submission, state, 0.0, 0.0, progress=Progress(metrics=metrics)))


class TestPlanning:
    def test_every_combination_is_one_run_with_its_own_name_and_task(self):
        runs = plan()
        assert [run.changes for run in runs] == [
            {"learning_rate": rate, "batch_size": size} for rate in (0.1, 0.01) for size in (4, 8)
        ]
        assert [run.name for run in runs] == ["lr-1", "lr-2", "lr-3", "lr-4"]
        assert [run.request.task_id for run in runs] == ["job-1.1", "job-1.2", "job-1.3", "job-1.4"]
        assert [run.request.learning_rate for run in runs] == [0.1, 0.1, 0.01, 0.01]

    def test_names_sort_as_numbers_do(self):
        runs = plan(grid={"seed": list(range(12))})
        assert sorted(run.name for run in runs) == [run.name for run in runs]

    def test_a_wrong_combination_is_named(self):
        with pytest.raises(JobFileError, match=r"sweep.yaml: learning_rate=-1: learning_rate: .*greater than 0"):
            plan(grid={"learning_rate": [0.1, -1]})

    @pytest.mark.parametrize("key", ["task_id", "name", "save_path"])
    def test_what_tells_runs_apart_cannot_be_varied(self, key):
        with pytest.raises(JobFileError, match=f"{key} is the same for all runs"):
            plan(grid={key: ["a", "b"]})

    def test_more_combinations_than_allowed_are_refused_before_any_is_made(self):
        with pytest.raises(JobFileError, match=f"1000000 combinations, and a sweep may have {MOST_RUNS}"):
            plan(grid={"seed": list(range(1000)), "batch_size": list(range(1, 1001))})

    @pytest.mark.parametrize("grid", [{}, {"seed": []}, {"seed": 3}])
    def test_a_grid_without_lists_is_refused(self, grid):
        with pytest.raises(JobFileError, match=r"sweep.yaml: grid"):
            plan(grid=grid)


class TestTheTable:
    def test_the_best_is_the_completed_run_with_the_greatest_metric(self):
        first, second, third, _ = plan()
        outcomes = [outcome(first, val_acc=70.0), outcome(second, val_acc=80.0), outcome(third, TaskState.FAILED, val_acc=99.0)]
        assert find_best(outcomes, read_sweep(FILE, "f")).run is second

    def test_of_losses_it_is_the_smallest(self):
        first, second, *_ = plan()
        sweep = read_sweep({**FILE, "metric": "val_loss", "goal": "min"}, "f")
        assert find_best([outcome(first, val_loss=0.5), outcome(second, val_loss=0.2)], sweep).run is second

    @pytest.mark.parametrize("figure", [float("nan"), float("inf")])
    def test_a_figure_that_is_no_number_is_never_the_best(self, figure):
        first, second, *_ = plan()
        found = find_best([outcome(first, val_acc=figure), outcome(second, val_acc=1.0)], read_sweep(FILE, "f"))
        assert found.run is second

    def test_without_the_metric_there_is_no_best(self):
        first, *_ = plan()
        assert find_best([outcome(first, other=1.0)], read_sweep(FILE, "f")) is None

    def test_csv_and_json_say_the_same(self):
        first, second, *_ = plan()
        outcomes, sweep = [outcome(first, val_acc=70.0), outcome(second, val_acc=80.0)], read_sweep(FILE, "f")
        rows = list(csv.DictReader(io.StringIO(as_csv(outcomes, sweep))))
        content = json.loads(as_json(outcomes, sweep))
        assert [row["run"] for row in rows] == [run["name"] for run in content["runs"]] == ["lr-1", "lr-2"]
        assert [row["best"] for row in rows] == ["0", "1"]
        assert content["best"] == "lr-2"
        assert [float(row["val_acc"]) for row in rows] == [run["metrics"]["val_acc"] for run in content["runs"]]

    def test_people_see_the_best_first_and_those_without_a_figure_last(self):
        first, second, third, _ = plan()
        outcomes = [outcome(first, TaskState.FAILED), outcome(second, val_acc=70.0), outcome(third, val_acc=80.0)]
        lines = as_table(outcomes, read_sweep(FILE, "f"))
        assert [line.split()[0] for line in lines[1:]] == ["*", "lr-2", "lr-1"]
