"""Answers to what was sent before, in memory.

Owns what makes two requests the same: the content of their pictures, the version, and all else that shapes the answer. A version's
number is never given twice, so that nothing in here can be out of date. It knows nothing of HTTP.
"""

import hashlib
from collections import OrderedDict
from typing import Final

from actors.online.orders import PredictAnswer, PredictOrder
from serve_app.file_work import in_file_thread

#: Hashing more than this takes longer than the way to a thread.
_HASH_HERE_BYTES: Final = 256 << 10
#: What Python takes for an answer, a row and one of its classes; measured with all names and numbers of their own, and rounded up.
_ANSWER_BYTES: Final = 700
_ROW_BYTES: Final = 400
_CLASS_BYTES: Final = 170


class PredictionCache:
    """Keeps answers as long as there is room, the ones asked for last.

    Invariant: the sizes add up to no more than ``most_bytes``; 0 keeps nothing.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._answers: OrderedDict[bytes, tuple[PredictAnswer, int]] = OrderedDict()
        self.size_bytes = 0

    async def key_of(self, order: PredictOrder) -> bytes | None:
        """What the order's answer is kept under; None for orders whose answers are not kept: those of more than pictures in memory."""
        contents = order.contents
        if not self._most_bytes or any(content.kind != "picture" or content.path is not None for content in contents):
            return None
        if sum(len(content.data) for content in contents) <= _HASH_HERE_BYTES:
            return _digest(order)
        return await in_file_thread(_digest, order)

    def find(self, key: bytes | None) -> PredictAnswer | None:
        """The answer under a key, if it is still there."""
        if key is None or key not in self._answers:
            return None
        self._answers.move_to_end(key)
        return self._answers[key][0]

    def keep(self, key: bytes | None, order: PredictOrder, answer: PredictAnswer) -> None:
        """Keep an answer, unless it is another version's or tells of an error that may not come again."""
        is_whole = (answer.name, answer.version) == order.model.key and all(row.error is None for row in answer.predictions)
        size_bytes = _size_of(answer)
        if key is None or not is_whole or key in self._answers or size_bytes > self._most_bytes:
            return
        self._answers[key] = answer, size_bytes
        self.size_bytes += size_bytes
        while self.size_bytes > self._most_bytes:
            self.size_bytes -= self._answers.popitem(last=False)[1][1]


def _digest(order: PredictOrder) -> bytes:
    """The hash of everything that shapes an answer, each part with its length before it."""
    digest = hashlib.sha256(repr((order.model.key, order.top_k)).encode())
    for content in order.contents:
        name = content.file.encode(errors="surrogatepass")
        for part in (name, content.data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.digest()


def _size_of(answer: PredictAnswer) -> int:
    rows = answer.predictions
    texts = sum(len(row.file) for row in rows)
    return _ANSWER_BYTES + _ROW_BYTES * len(rows) + _CLASS_BYTES * sum(len(row.top) for row in rows) + 4 * texts
