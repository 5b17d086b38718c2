"""Orders on their way to the predictor: answered from memory where that is known already, and counted.

Owns the cache and the counts of this process. It knows nothing of HTTP, nor of how a model was named.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from actors.core.errors import ActorSystemError
from actors.online.orders import PredictAnswer, PredictOrder, TensorAnswer, TensorOrder
from configs.settings import Settings
from serve_app.ports import NotReadyError, PredictorPort
from serve_app.prediction_cache import PredictionCache
from serve_app.prediction_meter import PredictionTally

_NOT_READY = "not_ready"
_CANCELLED = "cancelled"


class Predictions:
    """What the routes ask for predictions. Every order is counted once, under the version that answered or should have."""

    def __init__(self, port: PredictorPort, settings: Settings) -> None:
        self._port = port
        self.cache = PredictionCache(settings.prediction_cache_mb << 20)
        self.tally = PredictionTally()

    async def predict(self, order: PredictOrder) -> tuple[PredictAnswer, bool]:
        """The answer to an order, and whether it was there already. Raises as ``PredictorPort.predict``."""
        key = await self.cache.key_of(order)
        known = self.cache.find(key)
        if known is not None:
            self.tally.count_hit(order.model.key)
            return known, True
        with self._counting(order):
            answer = await self._port.predict(order)
        self.tally.count_answer((answer.name, answer.version), answer.timing)
        self.cache.keep(key, order, answer)
        return answer, False

    async def infer(self, order: TensorOrder) -> TensorAnswer:
        """The answer to an order of a tensor. Raises as ``PredictorPort.infer``."""
        with self._counting(order):
            answer = await self._port.infer(order)
        self.tally.count_answer((answer.name, answer.version), answer.timing)
        return answer

    @contextmanager
    def _counting(self, order: PredictOrder | TensorOrder) -> Iterator[None]:
        """Count what ends without an answer. A deadline that is over here cancels, as a caller that leaves does."""
        try:
            yield
        except ActorSystemError as error:
            self.tally.count_error(order.model.key, error.code)
            raise
        except NotReadyError:
            self.tally.count_error(order.model.key, _NOT_READY)
            raise
        except asyncio.CancelledError:
            self.tally.count_error(order.model.key, _CANCELLED)
            raise
