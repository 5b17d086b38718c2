"""What an actor does beside answering: it runs, and its failure is heard."""

import asyncio
import subprocess
import sys

from actors.duties import Duties

FAILING = """import asyncio
from actors.duties import Duties
async def fail():
    raise ValueError("the wire is cut")
async def main():
    Duties().begin(fail())
    await asyncio.Event().wait()
asyncio.run(main())
"""


def test_a_duty_that_fails_ends_the_process_and_says_why():
    ended = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 70
    assert "ValueError: the wire is cut" in ended.stderr


def test_only_what_fails_is_a_failure():
    heard: list[BaseException] = []

    async def give(outcome):
        if isinstance(outcome, BaseException):
            raise outcome

    async def main():
        duties = Duties(heard.append)
        for outcome in ("done", asyncio.CancelledError(), OSError("gone")):
            duties.begin(give(outcome))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert [str(error) for error in heard] == ["gone"]
