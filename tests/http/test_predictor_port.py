"""How calls to replicas go wrong, and what the routes get to see of it. No Ray is started: the handle is a plain object."""

import asyncio

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from actors.core.errors import DeadlineExceededError, PredictionInputError, ServingFullError
from actors.online.orders import PredictOrder
from serve_app import predictor_port
from serve_app.ports import NotReadyError
from serve_app.predictor_port import RayPredictor
from tests.fake_serving import make_served

pytestmark = pytest.mark.anyio
SILENCE = object()


class Answer:
    """What a call gives: awaited, it answers as the script says."""

    def __init__(self, script):
        self.script, self.is_cancelled = script, False

    def __await__(self):
        return self._come().__await__()

    async def _come(self):
        if self.script is SILENCE:
            await asyncio.Event().wait()
        if isinstance(self.script, BaseException):
            raise self.script
        return self.script

    def cancel(self):
        self.is_cancelled = True


class Handle:
    def __init__(self, script):
        self.predict, self.answer = self, Answer(script)

    def remote(self, _order):
        return self.answer


async def ask(script, *, timeout_s=None):
    """Ask a replica that answers so; returns what came out and whether the call was cancelled."""
    predictor = RayPredictor()
    handle = predictor._handle = Handle(script)
    try:
        came = await predictor.predict(PredictOrder(make_served(), (), timeout_s=timeout_s))
    except Exception as error:  # noqa: BLE001 - what comes out is what is looked at
        came = error
    return came, handle.answer.is_cancelled


async def test_an_answer_comes_back_as_it_is():
    assert await ask("answer") == ("answer", False)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (BackPressureError(num_queued_requests=9, max_queued_requests=9), ServingFullError),
        (RayTaskError("predict", "traceback", PredictionInputError("no picture")), PredictionInputError),
        (RayTaskError("predict", "traceback", ActorDiedError()), NotReadyError),
        (ActorDiedError(), NotReadyError),
    ],
)
async def test_what_is_raised_comes_out_as_an_error_of_the_domain(raised, expected):
    assert type((await ask(raised))[0]) is expected


@pytest.mark.parametrize(("timeout_s", "told"), [(0.01, "within 0.01 s"), (None, "POST /api/v2/inference/start")])
async def test_silence_is_a_deadline_that_names_the_header_and_the_work_is_cancelled(monkeypatch, timeout_s, told):
    monkeypatch.setattr(predictor_port, "_SILENCE_S", 0.0)
    monkeypatch.setattr(predictor_port, "PREDICT_S", 0.01)
    came, is_cancelled = await ask(SILENCE, timeout_s=timeout_s)
    assert (type(came), is_cancelled) == (DeadlineExceededError, True)
    assert told in str(came)
    assert "X-Request-Timeout" in str(came)


async def test_a_caller_who_goes_is_passed_on():
    predictor = RayPredictor()
    handle = predictor._handle = Handle(SILENCE)
    asking = asyncio.create_task(predictor.predict(PredictOrder(make_served(), ())))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert handle.answer.is_cancelled
