"""The predictor's port over its Serve handle: the only place where what Serve raises of replicas becomes the domain's errors.

Owns the handle and its time limits. Full queues come out as ``ServingFullError``, a replica that died as ``NotReadyError``; a call that
is cancelled here is cancelled in the replica.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, Final, cast

import grpc  # type: ignore[import-untyped]
from ray import serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from actors.core.errors import DeadlineExceededError, ServingFullError
from actors.names import PREDICTOR
from actors.online.orders import PredictAnswer, PredictOrder, PrepareOrder, PrepareReport, TensorAnswer, TensorOrder
from serve_app.callers import TIMEOUT_HEADER
from serve_app.ports import NotReadyError

#: How long after its deadline an answer may still be on its way.
_SILENCE_S: Final = 5.0
#: A prediction without a deadline of its own ends after this.
PREDICT_S: Final = 60.0
#: Loading a large version from a slow disk takes its time.
PREPARE_S: Final = 120.0
FREE_S: Final = 30.0


class RayPredictor:
    """``PredictorPort`` over the predictor's Serve handle, which is found when it is first needed."""

    def __init__(self) -> None:
        self._handle: DeploymentHandle | None = None

    async def predict(self, order: PredictOrder) -> PredictAnswer:
        """See PredictorPort."""
        return cast("PredictAnswer", await self._call("predict", order, order.timeout_s))

    async def infer(self, order: TensorOrder) -> TensorAnswer:
        """See PredictorPort."""
        return cast("TensorAnswer", await self._call("infer", order, order.timeout_s))

    async def prepare(self, order: PrepareOrder) -> Sequence[PrepareReport]:
        """See PredictorPort."""
        return cast("Sequence[PrepareReport]", await self._call_all("prepare", order, timeout_s=PREPARE_S))

    async def free(self, name: str, version: int) -> None:
        """See PredictorPort."""
        await self._call_all("free", name, version, timeout_s=FREE_S)

    async def _call(self, method: str, order: PredictOrder | TensorOrder, timeout_s: float | None) -> Any:
        # A replica tells of a deadline itself; here only its silence ends.
        limit_s = PREDICT_S if timeout_s is None else timeout_s + _SILENCE_S
        answer: DeploymentResponse = getattr(self._found(), method).remote(order)
        try:
            async with asyncio.timeout(limit_s) as limit:
                return await _translated(answer, None)
        except TimeoutError:
            answer.cancel()
            if not limit.expired():
                raise
            raise _late(timeout_s) from None
        except (asyncio.CancelledError, NotReadyError):
            answer.cancel()  # else the replica would go on for nobody
            raise

    async def _call_all(self, method: str, *args: Any, timeout_s: float) -> list[Any]:
        answers = await _translated(self._found().broadcast(method, *args).results_async(), timeout_s)
        if not answers:
            raise NotReadyError(PREDICTOR)
        return list(answers)

    def _found(self) -> DeploymentHandle:
        if self._handle is None:
            try:
                self._handle = serve.get_deployment_handle(PREDICTOR, app_name=PREDICTOR)
            except (KeyError, RayServeException) as error:  # KeyError: it is not deployed
                raise NotReadyError(PREDICTOR) from error
        return self._handle


def _late(timeout_s: float | None) -> DeadlineExceededError:
    if timeout_s is not None:
        return DeadlineExceededError(f"there was no answer within {timeout_s:g} s ({TIMEOUT_HEADER}); the work was dropped")
    remedy = f"allow more time with {TIMEOUT_HEADER}, or predict in a job with POST /api/v2/inference/start"
    return DeadlineExceededError(f"there was no answer within {PREDICT_S:g} s; {remedy}")


async def _translated(answer: Awaitable[Any], timeout_s: float | None) -> Any:
    """Wait for an answer; what is not the replica's own error is that it is not there."""
    try:
        async with asyncio.timeout(timeout_s):
            return await answer
    except BackPressureError as error:
        raise ServingFullError("every replica has as many requests waiting as it may; try again in a moment") from error
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, RayError | TimeoutError):
            raise NotReadyError(PREDICTOR) from error
        raise cast("Exception", cause) from None
    except (RayError, RayServeException, TimeoutError, grpc.RpcError) as error:  # requests go to replicas by gRPC
        raise NotReadyError(PREDICTOR) from error
