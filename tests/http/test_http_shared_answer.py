"""One answer for many who ask."""

import asyncio

import pytest

from serve_app.shared_answer import SharedAnswer

pytestmark = pytest.mark.anyio


class Oracle:
    """Counts how often it is asked, and answers with the count."""

    def __init__(self):
        self.asked = 0
        self.now = 0.0
        self.shared = SharedAnswer(self.answer, fresh_s=1.0, clock=lambda: self.now)

    async def answer(self):
        self.asked += 1
        await asyncio.sleep(0)
        if self.asked == 3:
            raise LookupError
        return self.asked


async def test_an_answer_is_given_again_until_it_is_stale():
    oracle = Oracle()
    assert [await oracle.shared.get(), await oracle.shared.get()] == [1, 1]
    oracle.now = 0.9
    assert await oracle.shared.get() == 1
    oracle.now = 1.0
    assert await oracle.shared.get() == 2


async def test_who_asks_meanwhile_gets_the_same_answer():
    oracle = Oracle()
    assert await asyncio.gather(*(oracle.shared.get() for _ in range(3))) == [1, 1, 1]


async def test_who_leaves_takes_nothing_from_the_others():
    oracle = Oracle()
    leaving, staying = asyncio.create_task(oracle.shared.get()), asyncio.create_task(oracle.shared.get())
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == 1


async def test_an_error_is_an_answer_until_it_is_stale():
    oracle = Oracle()
    oracle.asked = 2
    for _ in range(2):
        with pytest.raises(LookupError):
            await oracle.shared.get()
    oracle.now = 1.0
    assert await oracle.shared.get() == 4
