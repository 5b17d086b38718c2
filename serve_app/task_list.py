"""A page of tasks as JSON, written some tasks at a time: a thousand at once would keep other requests waiting."""

import asyncio

from pydantic_core import to_json

from actors.core.model import WorkKind
from actors.messages import TaskPage
from serve_app.shape import task_response

#: Tasks that are written between two looks at what else came in: about a millisecond's work.
TASKS_PER_TURN = 50


async def task_list_json(page: TaskPage) -> bytes:
    """The tasks by kind of work, in the page's order: a ``TaskListResponse``."""
    written: dict[WorkKind, list[bytes]] = {work: [] for work in WorkKind}
    for number, task in enumerate(page.tasks, 1):
        written[task.submission.work].append(to_json(task_response(task), inf_nan_mode="null"))
        if number % TASKS_PER_TURN == 0:
            await asyncio.sleep(0)
    lists = b",".join(b'"%b_tasks":[%b]' % (work.value.encode(), b",".join(tasks)) for work, tasks in written.items())
    totals = b",".join(b'"total_%b":%d' % (work.value.encode(), len(tasks)) for work, tasks in written.items())
    return b'{%b,%b,"next_cursor":%b}' % (lists, totals, to_json(page.next_cursor))
