"""A replica that cannot answer says so, and one that begins while the accountant is away waits for it."""

import asyncio
from types import SimpleNamespace

import pytest

from actors.core.model import GIB, Device, DeviceKind
from serve_app import predictor
from serve_app.ports import NotReadyError
from serve_app.predictor import Predictor

CPU = Device("cpu:0", DeviceKind.CPU, "node", 0, 16 * GIB, cores=4)


def make_replica(**parts):
    """A replica without Serve, of which only what a test is about is there."""
    replica = object.__new__(Predictor)
    vars(replica).update({"_replica_id": "r1"} | parts)
    return replica


def check(*, is_reporting=True, check_engine=lambda: None):
    async def run():
        reporting = asyncio.get_running_loop().create_future()
        if not is_reporting:
            reporting.set_result(None)
        await make_replica(_reporting=reporting, _engine=SimpleNamespace(check_health=check_engine)).check_health()

    asyncio.run(run())


def test_a_replica_is_well_while_it_reports_and_its_engine_can_answer():
    check()


def test_a_replica_that_reports_no_more_is_unwell():
    with pytest.raises(RuntimeError, match="r1 does not report"):
        check(is_reporting=False)


def test_a_replica_whose_engine_cannot_answer_is_unwell():
    def fail():
        raise RuntimeError("the device is lost")

    with pytest.raises(RuntimeError, match="the device is lost"):
        check(check_engine=fail)


def find_device(answers):
    """Let a replica find its device with an accountant that answers so, one after the other; the last answer is for ever."""

    async def report():
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return asyncio.run(make_replica(_report=report)._find_device())


def test_a_replica_goes_on_asking_for_its_device_while_the_accountant_is_away(monkeypatch):
    monkeypatch.setattr(predictor, "_DEVICE_PAUSE_S", 0.0)
    assert find_device([NotReadyError("accountant"), None, NotReadyError("accountant"), CPU]) == CPU


@pytest.mark.parametrize("answer", [NotReadyError("accountant"), None])
def test_a_replica_gives_up_at_the_deadline(monkeypatch, answer):
    monkeypatch.setattr(predictor, "_DEVICE_PAUSE_S", 0.0)
    monkeypatch.setattr(predictor, "_DEVICE_DEADLINE_S", 0.02)
    with pytest.raises(RuntimeError, match="the accountant does not know the device of replica r1"):
        find_device([answer])
