"""Lines that an attempt could not send before its process had to end: the supervisor sends them on, before its own last word."""

import asyncio
import threading

from actors.core import task_events as te
from actors.core.model import WorkKind
from actors.core.tasks import Submission, TaskState
from actors.messages import AttemptResult, LogDraft
from actors.supervisor import TaskSupervisor
from actors.workers.reporter import Reporter
from configs.settings import Settings


def test_a_reporter_hands_back_what_the_hub_did_not_take(monkeypatch):
    sent = []

    def ask(_self, _name, _method, _task_id, _attempt_id, lines):
        sent.append([line.message for line in lines])
        return False

    monkeypatch.setattr(Reporter, "_ask", ask)
    reporter = Reporter("t", "t.1")
    reporter.line("INFO", "one")
    reporter.line("INFO", "two")
    unsent = reporter.close(deadline_s=0.5)
    assert [(line.index, line.message) for line in unsent] == [(1, "one"), (2, "two")]
    assert sent


def test_progress_is_told_although_the_hub_takes_no_lines(monkeypatch):
    told = threading.Event()

    def ask(_self, _name, method, *_args):
        if method == "report_progress":
            told.set()
        return method == "report_progress"

    monkeypatch.setattr(Reporter, "_ask", ask)
    reporter = Reporter("t", "t.1")
    reporter.line("INFO", "one")
    reporter.advance(50, "half")
    assert told.wait(10)
    assert len(reporter.close(deadline_s=0.1)) == 1


def test_the_supervisor_sends_them_as_the_attempts_own_before_what_it_says_itself(tmp_path):
    async def forward():
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5)))
        unsent = (LogDraft(7, 1.0, "INFO", "late"),)
        supervisor._take_result("t.1", AttemptResult("completed", "done", unsent=unsent))
        supervisor._take_result("unknown.1", AttemptResult("completed", "done", unsent=unsent))
        supervisor._logs.put(te.Announce("t", "INFO", "done", TaskState.COMPLETED, is_last=True))
        first, second = await supervisor._logs.next_line(), await supervisor._logs.next_line()
        assert first == ("t", "t.1", list(unsent))
        assert [draft.message for draft in second[2]] == ["done"]

    asyncio.run(forward())
