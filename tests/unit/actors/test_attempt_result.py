"""A process that has done its work keeps the result for whoever supervises, and the lease that it lives by, for a while."""

import asyncio
import threading
from types import SimpleNamespace
from unittest.mock import create_autospec

import pytest

from actors import lease_client
from actors.attempt_order import AttemptResult
from actors.attempts import AttemptRunner
from actors.core.model import Lease, LeaseRequest, Portion, WorkKind
from actors.lease_client import LeaseKeeper
from actors.workers.attempt import AttemptActor
from actors.workers.reporter import Reporter
from configs.settings import Settings

RESULT = AttemptResult("completed", "done")


@pytest.fixture
def keeper(monkeypatch):
    """A keeper that renews as often as it can, and the event of its next renewal."""
    renewed = threading.Event()
    monkeypatch.setattr(lease_client, "bind_process", lambda *_, **__: None)
    monkeypatch.setattr(lease_client, "ask_accountant", lambda *_: renewed.set())
    request = LeaseRequest("t.1", "t", WorkKind.TRAINING, "cpu", 5, 0.0)
    lease = Lease("lease-1", 1, request, (Portion("cpu:0", 1200, 0),), 5.0)
    keeper = LeaseKeeper(lease, every_s=0.001, ttl_s=30, on_lost=lambda _reason: None)
    yield keeper, renewed
    keeper.end()


def test_a_lease_is_renewed_for_a_while_after_the_work(keeper):
    keeper, renewed = keeper
    keeper.begin()
    keeper.end(after_s=600)
    for _ in range(3):
        renewed.clear()
        assert renewed.wait(10)


@pytest.mark.parametrize("after_s", [0.0, 0.001])
def test_and_no_longer(keeper, after_s):
    keeper, _ = keeper
    keeper.begin()
    keeper.end(after_s=after_s)
    keeper._thread.join(10)
    assert not keeper._thread.is_alive()


@pytest.fixture
def attempt():
    """What the process of an attempt is made of, with work that is done at once."""
    reporter = create_autospec(Reporter, instance=True)
    reporter.close.return_value = ()
    memory = SimpleNamespace(describe_peak=lambda: "", peak=lambda: SimpleNamespace(reserved_bytes=0))
    keeper = create_autospec(LeaseKeeper, instance=True)
    return SimpleNamespace(
        _keeper=keeper, _reporter=reporter, _memory=memory, _work=lambda: RESULT, _ended=threading.Event(), _result=None
    )


def test_the_end_of_the_work_does_not_end_its_lease_before_the_supervisor_can_have_heard_of_it(attempt):
    AttemptActor._run(attempt)
    assert attempt._ended.is_set()
    (call,) = attempt._keeper.end.call_args_list
    assert call.kwargs["after_s"] > 60


def test_a_question_for_the_outcome_takes_a_thread_only_for_a_while(attempt, monkeypatch):
    monkeypatch.setattr("actors.workers.attempt._OUTCOME_WAIT_S", 0.001)
    assert AttemptActor.outcome(attempt) is None
    AttemptActor._run(attempt)
    assert AttemptActor.outcome(attempt).outcome == "completed"


def test_the_supervisor_asks_until_there_is_an_outcome(tmp_path, monkeypatch):
    answers, results = ["ready", None, None, RESULT], []

    async def answer():
        return answers.pop(0)

    async def never():
        raise AssertionError("a process that is up renews its own lease")

    handle = SimpleNamespace(ready=SimpleNamespace(remote=answer), outcome=SimpleNamespace(remote=answer))
    monkeypatch.setattr("actors.attempts.find_attempt", lambda _name: handle)
    runner = AttemptRunner(Settings(state_dir=tmp_path, data_roots=(tmp_path,)), lambda *result: results.append(result))
    over = asyncio.run(runner.adopt("t.1", 1, never))
    assert (over.outcome, results) == ("completed", [("t.1", RESULT)])
