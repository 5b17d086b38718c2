"""The supervisor's own lines in the logs of tasks."""

import asyncio
import uuid
from collections.abc import Sequence

from actors.clock import Clock
from actors.core.task_events import Announce
from actors.messages import LogDraft


class TaskLogWriter:
    """Numbers and keeps in order the lines that the supervisor adds to the logs; a new supervisor is a new source."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._source = f"supervisor-{uuid.uuid4().hex[:8]}"
        self._indexes: dict[str, int] = {}
        self._lines: asyncio.Queue[tuple[str, str, list[LogDraft]]] = asyncio.Queue()

    def put(self, said: Announce) -> None:
        """Take in an announcement, to be sent after all before it."""
        index = self._indexes.get(said.task_id, 0) + 1
        self._indexes[said.task_id] = index
        if said.is_last:
            del self._indexes[said.task_id]
        draft = LogDraft(index, self._clock.now(), said.level, said.message, status=said.state.value, is_last=said.is_last)
        self._lines.put_nowait((said.task_id, self._source, [draft]))

    def forward(self, task_id: str, attempt_id: str, drafts: Sequence[LogDraft]) -> None:
        """Take over lines that an attempt could not send, to be sent before whatever is announced from now on."""
        self._lines.put_nowait((task_id, attempt_id, list(drafts)))

    async def next_line(self) -> tuple[str, str, list[LogDraft]]:
        """The next line to send: task, source and draft, as the hub takes them."""
        return await self._lines.get()
