"""Judging a run: every function returns what is wrong in plain words, and nothing where all is right."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tests.chaos.fault_plan import ONLINE_PARTS
from tests.chaos.strikes import Struck
from tests.chaos.workload import Accepted, Reference, Viewer, result_of
from tests.service.prediction_load import Outcome

#: So long after a fault predictions may be refused; and no longer than this may anybody wait, at any time.
TROUBLE_S = 10.0
LONGEST_WAIT_S = 15.0
#: Of the predictions at other times.
MOST_ERRORS = 0.01


def judge_task(task: Mapping, accepted: Accepted) -> list[str]:
    """What is wrong with the end of a task, and with its attempts."""
    wish = accepted.wish
    end = (task["status"], (task["error"] or {}).get("code"))
    wanted = ("failed", wish.fails_with) if wish.fails_with else ("completed", None)
    wrong = [] if end == wanted else [f"{accepted.task_id} ended as {end} instead of {wanted}: {task['error']}"]
    states = [step["after"] for step in task["history"]]
    if states.count("running") > task["attempts"] or task["attempts"] < 1:
        wrong.append(f"{accepted.task_id} ran {states.count('running')} times in {task['attempts']} attempts")
    if sum(state in ("completed", "failed", "cancelled") for state in states) != 1:
        wrong.append(f"{accepted.task_id} has no single end: {states}")
    return wrong


def judge_output(accepted: Accepted, reference: Reference) -> list[str]:
    """What is wrong with the files of a task that was completed."""
    if accepted.wish.fails_with:
        return []
    wrong = []
    try:
        if result_of(accepted) != reference.results[accepted.wish.kind]:
            wrong.append(f"{accepted.task_id} has other figures than the undisturbed {accepted.wish.kind}")
    except OSError as error:
        wrong.append(f"{accepted.task_id} lacks a file: {error}")
    left = [path.name for path in accepted.output.glob(".attempt-*")]
    return wrong + ([f"{accepted.task_id} left {left}"] if left else [])


def read_log(state_dir: Path, task_id: str) -> list[dict]:
    """A task's log as the log hub has it on disk."""
    name = hashlib.sha256(task_id.encode()).hexdigest()[:32]
    path = state_dir / "logs" / "tasks" / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judge_log(task: Mapping, lines: Sequence[Mapping]) -> list[str]:
    """Gaps and doubles in a log, by the hub's numbers and by those of each source, and steps of the task's life that it lacks."""
    name, wrong = task["task_id"], []
    if [line["seq"] for line in lines] != list(range(1, len(lines) + 1)):
        wrong.append(f"the log of {name} is not numbered from 1 without a gap")
    by_source: dict[str, list[int]] = {}
    for line in lines:
        by_source.setdefault(line["source"], []).append(line["index"])
    for source, indexes in by_source.items():
        if indexes != list(range(1, len(indexes) + 1)):
            wrong.append(f"the log of {name} has lines {indexes} of {source}")
    said = [line["message"] for line in lines]
    # The first step is told in other words.
    told = Counter(step["cause"] for step in task["history"][1:])
    wrong += [
        f"the log of {name} tells {said.count(cause)} times instead of {count}: {cause}"
        for cause, count in told.items()
        if said.count(cause) != count
    ]
    if not lines or not lines[-1].get("is_last") or lines[-1].get("status") != task["status"]:
        wrong.append(f"the log of {name} does not end with its end")
    if not said or not said[0].endswith("task accepted"):
        wrong.append(f"the log of {name} does not begin with its acceptance")
    return wrong


def judge_viewer(viewer: Viewer, lines: int) -> list[str]:
    """Whether somebody who came back after every break has seen every line once."""
    if viewer.seen == list(range(1, lines + 1)):
        return []
    return [f"the viewer of {viewer.task_id} saw {len(viewer.seen)} of {lines} lines: {_gaps(viewer.seen, lines)}"]


def _gaps(seen: Sequence[int], lines: int) -> str:
    missing = sorted(set(range(1, lines + 1)) - set(seen))
    double = [number for number, count in Counter(seen).items() if count > 1]
    return f"missing {missing[:10]}, double {double[:10]}"


def judge_predictions(outcomes: Iterable[Outcome], struck: Sequence[Struck]) -> list[str]:
    """What callers met: how long, how often, and when."""
    outcomes, wrong = list(outcomes), []
    calm, troubled = split_by_trouble(outcomes, struck)
    errors = [each for each in calm if each.status != 200]
    if not calm or len(errors) > MOST_ERRORS * len(calm):
        wrong.append(f"{len(errors)} of {len(calm)} predictions failed at calm times: {_describe(errors)}")
    odd = [each for each in troubled if each.status not in (200, 503, 0)]
    if odd:
        wrong.append(f"other errors than 503 and broken connections: {_describe(odd)}")
    hung = [each for each in outcomes if each.seconds > LONGEST_WAIT_S]
    if hung:
        wrong.append(f"{len(hung)} predictions took up to {max(each.seconds for each in hung):.1f} s: {_describe(hung)}")
    return wrong


def split_by_trouble(outcomes: Iterable[Outcome], struck: Sequence[Struck]) -> tuple[list[Outcome], list[Outcome]]:
    """The predictions of calm times, and those that met a fault to whoever answers them, or the time after one."""
    faults = [each.at for each in struck if each.fault.part in ONLINE_PARTS]
    calm: list[Outcome] = []
    troubled: list[Outcome] = []
    for each in outcomes:
        is_met = any(each.sent_at <= at + TROUBLE_S and each.sent_at + each.seconds >= at for at in faults)
        (troubled if is_met else calm).append(each)
    return calm, troubled


def _describe(outcomes: Sequence[Outcome]) -> str:
    return "; ".join(f"{count} x {status} {text[:90]}" for (status, text), count in _counted(outcomes).most_common(4))


def _counted(outcomes: Sequence[Outcome]) -> Counter[tuple[int, str]]:
    return Counter((each.status, each.text) for each in outcomes)
