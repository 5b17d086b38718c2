"""Lines that an attempt could not send before its process had to end: the supervisor sends them on, before its own last word."""

import asyncio
import threading

import pytest

from actors.attempt_order import AttemptResult
from actors.core import task_events as te
from actors.core.model import WorkKind
from actors.core.tasks import Submission, TaskState
from actors.messages import LogDraft
from actors.supervisor import TaskSupervisor
from actors.task_log import SaidLines
from actors.workers.reporter import Reporter
from configs.settings import Settings


class Hub:
    """Takes no lines until the test lets it; progress is taken always."""

    def __init__(self):
        self.has_room = False
        self.offered = []
        self.told = threading.Event()

    def ask(self, _name, method, *args):
        if method == "report_progress":
            self.told.set()
            return True
        self.offered.append([line.message for line in args[-1]])
        return self.has_room


@pytest.fixture
def hub(monkeypatch):
    hub = Hub()
    monkeypatch.setattr(Reporter, "_ask", hub.ask)
    return hub


@pytest.fixture
def reporter(hub):
    reporter = Reporter("t", "t.1")
    yield reporter
    hub.has_room = True
    reporter.close()


def test_a_reporter_hands_back_what_the_hub_did_not_take(hub, reporter):
    reporter.line("INFO", "one")
    reporter.line("INFO", "two")
    unsent = reporter.close(deadline_s=0.5)
    assert [(line.index, line.message) for line in unsent] == [(1, "one"), (2, "two")]
    assert hub.offered


def test_what_the_hub_has_taken_is_not_handed_back(hub, reporter):
    hub.has_room = True
    reporter.line("INFO", "one")
    assert reporter.close() == ()


def test_progress_is_told_although_the_hub_takes_no_lines(hub, reporter):
    reporter.line("INFO", "one")
    reporter.advance(50, "half")
    assert hub.told.wait(10)


def test_the_supervisor_sends_them_as_the_attempts_own_before_what_it_says_itself(tmp_path):
    async def forward():
        supervisor = TaskSupervisor(Settings(state_dir=tmp_path, data_roots=(tmp_path,)))
        supervisor._apply(te.TaskSubmitted(Submission("t", WorkKind.TRAINING, "training", {}, "cpu", 5)))
        unsent = (LogDraft(7, 1.0, "INFO", "late"),)
        supervisor._take_result("t.1", AttemptResult("completed", "done", unsent=unsent))
        supervisor._take_result("unknown.1", AttemptResult("completed", "done", unsent=unsent))
        supervisor._logs.put(te.Announce("t", "INFO", "done", TaskState.COMPLETED, is_last=True))
        first = await supervisor._logs.next_message()
        supervisor._logs.done(first)
        second = await supervisor._logs.next_message()
        assert first == SaidLines("t", "t.1", unsent)
        assert [draft.message for draft in second.drafts] == ["done"]

    asyncio.run(forward())
