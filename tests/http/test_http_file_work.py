"""Threads for files are others than those for everything else."""

import asyncio
import threading

import pytest

from serve_app.file_work import FILE_THREADS, in_file_thread

pytestmark = pytest.mark.anyio


async def test_what_blocks_on_files_keeps_no_other_threads_waiting():
    is_over, blocked = threading.Event(), threading.Semaphore(0)

    def block():
        blocked.release()
        return is_over.wait(5)

    # Far more than there are threads of either kind.
    blocking = [asyncio.create_task(in_file_thread(block)) for _ in range(100)]
    try:
        for _ in range(FILE_THREADS):
            assert await asyncio.to_thread(blocked.acquire, timeout=5)
        assert not await asyncio.to_thread(blocked.acquire, blocking=False)
    finally:
        is_over.set()
    assert all(await asyncio.gather(*blocking))


async def test_arguments_results_and_errors_go_through():
    assert await in_file_thread(int, "11", base=2) == 3
    with pytest.raises(ValueError, match="invalid literal"):
        await in_file_thread(int, "x")


async def test_who_is_cancelled_waits_for_the_end_of_what_has_begun():
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def work():
        begun.set()
        may_end.wait(5)
        ended.set()

    async def wait():
        async with asyncio.timeout(0.01):
            await in_file_thread(work)

    waiting = asyncio.create_task(wait())
    assert await asyncio.to_thread(begun.wait, 5)
    done, _ = await asyncio.wait((waiting,), timeout=0.1)
    assert not done
    may_end.set()
    with pytest.raises(TimeoutError):
        await waiting
    assert ended.is_set()
