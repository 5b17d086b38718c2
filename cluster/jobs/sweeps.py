"""A sweep: one request, and lists of values to try in it, in every combination.

Owns the product of the lists, the names of its runs, and the table of what came of them. Pure: it reads and submits nothing.
"""

import csv
import io
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pydantic import Field, field_validator

from actors.core.tasks import Task, TaskState
from cluster.jobs.orders import TASK_ID, JobFileError, check, check_request
from serve_app.schemas.fields import RequestModel

#: Of one sweep; more belong into several.
MOST_RUNS: Final = 200
#: What tells the runs apart is made here, so no list may hold it.
_MADE_HERE: Final = (TASK_ID, "name", "save_path")
_USUAL_NAME: Final = "run"


class Sweep(RequestModel):
    """The content of a sweep's file."""

    kind: Literal["train", "infer", "evaluate"] = Field("train", description="what each run is")
    base: dict[str, Any] = Field(description="the request of every run, as in the file of one")
    grid: dict[str, list[Any]] = Field(min_length=1, description="lists of values by key; every combination is a run")
    metric: str = Field("val_acc", min_length=1, description="the metric that tells the best run")
    goal: Literal["max", "min"] = Field("max", description="whether more of it is better")

    @field_validator("grid")
    @classmethod
    def _can_be_run(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for key, values in grid.items():
            if key in _MADE_HERE:
                raise ValueError(f"{key} is the same for all runs, or made for each; set it in base")
            if not values:
                raise ValueError(f"{key} has no values; give it some, or leave it out")
        count = math.prod(map(len, grid.values()))
        if count > MOST_RUNS:
            raise ValueError(f"{count} combinations, and a sweep may have {MOST_RUNS}; shorten the lists, or make several sweeps")
        return grid


@dataclass(frozen=True, slots=True)
class Run:
    """One combination: its name within the sweep, what it changes, and its whole request."""

    name: str
    changes: Mapping[str, Any]
    request: RequestModel


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run: the task as it ended, and its last figures."""

    run: Run
    task: Task

    @property
    def is_completed(self) -> bool:
        """Whether the run came to its proper end."""
        return self.task.state is TaskState.COMPLETED

    @property
    def figures(self) -> dict[str, float]:
        """The last metrics and counts of the run, numbers only."""
        progress = self.task.progress
        found = {**(progress.stats or {}), **(progress.metrics or {})}
        return {
            name: value
            for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        }


def read_sweep(values: Mapping[str, Any], where: str) -> Sweep:
    """The sweep of a file's content. Raises JobFileError."""
    return cast("Sweep", check(Sweep, values, where))


def plan_runs(sweep: Sweep, stem: str, where: str) -> list[Run]:
    """Every combination as a checked request; ``stem`` begins the ids of their tasks.

    Raises:
        JobFileError: names the combination whose request cannot be used.
    """
    combinations = list(itertools.product(*sweep.grid.values()))
    digits = len(str(len(combinations)))
    base = {"save_path": f"results/{stem}", **sweep.base}
    if not base["save_path"]:
        raise JobFileError(f"{where}: base.save_path: this key is required; the runs' folders and the table go there")
    runs = []
    for number, values in enumerate(combinations, 1):
        changes = dict(zip(sweep.grid, values, strict=True))
        name = f"{base.get('name') or _USUAL_NAME}-{number:0{digits}}"
        asked = {**base, **changes, "name": name, TASK_ID: f"{base.get(TASK_ID) or stem}.{number:0{digits}}"}
        request = check_request(sweep.kind, asked, f"{where}: {describe_changes(changes)}")
        runs.append(Run(name, changes, cast("RequestModel", request)))
    return runs


def describe_changes(changes: Mapping[str, Any]) -> str:
    """A combination for people."""
    return ", ".join(f"{key}={value}" for key, value in changes.items())


def find_best(outcomes: Sequence[Outcome], sweep: Sweep) -> Outcome | None:
    """The completed run with the best metric, the first where several are; None where no completed run has it."""
    judged = [each for each in outcomes if each.is_completed and sweep.metric in each.figures]
    choose = max if sweep.goal == "max" else min
    return choose(judged, key=lambda each: each.figures[sweep.metric], default=None)


def as_json(outcomes: Sequence[Outcome], sweep: Sweep) -> str:
    """The whole result for programs."""
    best = find_best(outcomes, sweep)
    runs = [
        {
            "name": each.run.name,
            "task_id": each.task.task_id,
            "status": each.task.state.value,
            "changes": dict(each.run.changes),
            "metrics": each.figures,
            "output_path": each.task.submission.output_path,
        }
        for each in outcomes
    ]
    content = {"metric": sweep.metric, "goal": sweep.goal, "best": best.run.name if best else None, "runs": runs}
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def as_csv(outcomes: Sequence[Outcome], sweep: Sweep) -> str:
    """The same as one row for each run."""
    figures = sorted({name for each in outcomes for name in each.figures} - set(sweep.grid))
    best = find_best(outcomes, sweep)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "task_id", "status", "best", *sweep.grid, *figures])
    for each in outcomes:
        row = [each.run.name, each.task.task_id, each.task.state.value, int(each is best)]
        writer.writerow([*row, *each.run.changes.values(), *(each.figures.get(name, "") for name in figures)])
    return text.getvalue()


def as_table(outcomes: Sequence[Outcome], sweep: Sweep) -> list[str]:
    """The same as lines for people: the best run first and marked, then the others by the metric, those without it last."""
    best = find_best(outcomes, sweep)
    sign = -1 if sweep.goal == "max" else 1
    ranked = sorted(outcomes, key=lambda each: (each is not best, sign * each.figures.get(sweep.metric, sign * math.inf)))
    rows = [["", "run", *sweep.grid, "status", sweep.metric]]
    for each in ranked:
        figure = each.figures.get(sweep.metric)
        values = [str(value) for value in each.run.changes.values()]
        mark = "*" if each is best else ""
        rows.append([mark, each.run.name, *values, each.task.state.value, "-" if figure is None else f"{figure:.4g}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
