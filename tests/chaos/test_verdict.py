"""What the judges of a run must not let pass."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.fault_plan import Fault
from tests.chaos.strikes import Struck
from tests.chaos.verdict import judge_log, judge_output, judge_predictions, judge_task
from tests.chaos.workload import Accepted, Reference, Wish
from tests.service.prediction_load import Outcome

STEPS = [
    {"after": "pending", "cause": "submitted"},
    {"after": "running", "cause": "attempt 1 got cpu:0"},
    {"after": "completed", "cause": "done"},
]
TASK = {"task_id": "t", "status": "completed", "error": None, "attempts": 1, "history": STEPS}


def line(seq, source, index, message, **more):
    return {"seq": seq, "source": source, "index": index, "message": message} | more


LOG = [
    line(1, "supervisor", 1, "training task accepted", status="pending"),
    line(2, "supervisor", 2, "attempt 1 got cpu:0", status="running"),
    line(3, "t.1", 1, "epoch 1"),
    line(4, "t.1", 2, "epoch 2"),
    line(5, "supervisor", 3, "done", status="completed", is_last=True),
]


def without(number):
    """The log without one line, and with numbers that hide it."""
    return [line | {"seq": seq} for seq, line in enumerate((each for each in LOG if each["seq"] != number), start=1)]


class TestLogs:
    def test_a_whole_log_is_right(self):
        assert judge_log(TASK, LOG) == []

    @pytest.mark.parametrize("number", [1, 2, 3, 5])
    def test_a_lost_line_is_found(self, number):
        assert judge_log(TASK, without(number))

    def test_a_number_that_is_missing_is_found(self):
        assert judge_log(TASK, [each for each in LOG if each["seq"] != 4])

    def test_a_step_that_is_told_twice_is_found(self):
        double = [
            *LOG[:2],
            line(3, "supervisor-2", 1, "attempt 1 got cpu:0"),
            *({**each, "seq": each["seq"] + 1} for each in LOG[2:]),
        ]
        assert any("tells 2 times" in wrong for wrong in judge_log(TASK, double))


@pytest.fixture
def accepted(tmp_path):
    output = tmp_path / "t"
    output.mkdir()
    (output / "metrics.csv").write_text("epoch,loss\n1,0.5\n")
    return Accepted("t", Wish("training-cpu", "/api/v2/training/start", {}, tmp_path))


class TestTasks:
    def test_a_completed_task_is_right_and_others_are_not(self, accepted):
        assert judge_task(TASK, accepted) == []
        assert judge_task(TASK | {"status": "failed", "error": {"code": "attempt_died"}}, accepted)
        assert judge_task(TASK | {"history": STEPS[:2]}, accepted)
        assert judge_task(TASK | {"history": [*STEPS, STEPS[2]]}, accepted)
        assert judge_task(TASK | {"history": [*STEPS[:2], STEPS[1], STEPS[2]]}, accepted)

    def test_a_task_that_must_fail_may_do_so_for_its_own_reason_only(self, accepted):
        wrong = replace(accepted, wish=replace(accepted.wish, fails_with="weights_mismatch"))
        failed = TASK | {"status": "failed", "history": [*STEPS[:2], {"after": "failed", "cause": "no"}]}
        assert judge_task(failed | {"error": {"code": "weights_mismatch"}}, wrong) == []
        assert judge_task(failed | {"error": {"code": "attempt_died"}}, wrong)
        assert judge_task(TASK, wrong)

    def test_other_losses_a_missing_file_and_what_an_attempt_left_are_found(self, accepted):
        assert judge_output(accepted, Reference({"training-cpu": "epoch,loss\n1,0.5\n"})) == []
        assert judge_output(accepted, Reference({"training-cpu": "epoch,loss\n1,0.4\n"}))
        Path(accepted.output / ".attempt-3").mkdir()
        assert judge_output(accepted, Reference({"training-cpu": "epoch,loss\n1,0.5\n"}))
        (accepted.output / "metrics.csv").unlink()
        assert any("lacks a file" in wrong for wrong in judge_output(accepted, Reference({"training-cpu": ""})))


def struck(part, at=100.0):
    return Struck(Fault(1, "kill", part, 0.0, 0.0), at, at)


def outcomes(**troubled):
    return [Outcome(200, float(second), 0.1) for second in range(200)] + [Outcome(sent_at=105.0, **({"seconds": 0.1} | troubled))]


class TestPredictions:
    @pytest.mark.parametrize("status", [0, 503])
    def test_a_refusal_soon_after_a_fault_to_who_answers_is_allowed(self, status):
        assert judge_predictions(outcomes(status=status), [struck("ingress")]) == []

    @pytest.mark.parametrize("status", [500, 502, 504])
    def test_no_other_answer_is(self, status):
        assert judge_predictions(outcomes(status=status), [struck("replica")])

    def test_at_calm_times_one_in_a_hundred_is(self):
        once = outcomes(status=503)
        assert judge_predictions(once, []) == []
        assert judge_predictions(once, [struck("accountant")]) == []
        assert judge_predictions([*once, *once[-1:], *once[-1:]], [])
        assert judge_predictions([*once, *once[-1:], *once[-1:]], [struck("ingress", at=90.0)])

    def test_no_wait_is_longer_than_fifteen_seconds(self):
        assert judge_predictions(outcomes(status=503, seconds=15.1), [struck("ingress")])

    def test_a_run_without_a_prediction_at_a_calm_time_shows_nothing(self):
        assert judge_predictions([Outcome(503, 101.0, 0.1)], [struck("node")])
