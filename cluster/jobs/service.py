"""The running service as a job sees it: the same ports that HTTP stands on, asked until they answer.

Owns the patience with parts that are restarted meanwhile, and the following of a task to its end.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Final, TypeVar, cast

from actors.core.errors import ActorSystemError, LineFullError, StoreUnavailableError, TaskError, TaskNotFoundError
from actors.core.tasks import EndMode, Submission, Task
from actors.messages import LogLine
from actors.names import LOG_HUB, SUPERVISOR
from cluster.ray_head import JOB_STOP_S
from configs.settings import Settings
from serve_app.job_models import with_model_files
from serve_app.model_table import FollowedModels
from serve_app.named_actor import NamedActor
from serve_app.ports import LogsPort, ModelsPort, NotReadyError, TasksPort
from serve_app.ray_ports import RayLogs, RayModels, RayTasks

#: How long a part of the service may be away before a job gives up.
PATIENCE_S: Final = 300.0
#: Ray kills a job that is still there sometime after it was asked to stop: the rest is for saying what could not be cancelled.
_CANCEL_S: Final = JOB_STOP_S - 10.0
_PAUSE_S: Final = 1.0
_SHORT_PAUSE_S: Final = 0.1
#: How long one question for more lines waits at the log hub.
_POLL_S: Final = 10.0

Answer = TypeVar("Answer")
Say = Callable[[str], None]


class JobService:
    """Submits, follows and ends tasks for one job.

    A part that does not answer is asked again for ``patience_s``; a full waiting line is waited for without end. Invariant: ``_asked``
    has the last question to accept each task, answered or not, however its caller ended.
    """

    def __init__(self, tasks: TasksPort, logs: LogsPort, models: ModelsPort, *, say: Say, patience_s: float = PATIENCE_S) -> None:
        self._tasks = tasks
        self._logs = logs
        self._models = FollowedModels(models)
        self._say = say
        self._patience_s = patience_s
        self._asked: dict[str, asyncio.Future[Task]] = {}

    async def submit(self, submission: Submission) -> Task:
        """Submit a task, as HTTP does. Raises what the supervisor refuses it with, and NotReadyError."""
        complete = await self._insist(lambda: with_model_files(self._models, submission))
        return await self._insist(lambda: self._ask_to_accept(complete))

    def _ask_to_accept(self, submission: Submission) -> Awaitable[Task]:
        # Whoever stops waiting does not stop the supervisor, so the answer must be heard all the same.
        asked = asyncio.ensure_future(self._tasks.submit(submission))
        self._asked[submission.task_id] = asked
        return asyncio.shield(asked)

    async def follow(self, task_id: str, on_line: Callable[[LogLine], None]) -> Task:
        """Hand on each line of a task's log as it comes; returns the task once it has ended.

        Raises:
            TaskNotFoundError: it was deleted meanwhile.
            NotReadyError: a part of the service stayed away.
        """
        seq = 0
        while True:
            part = await self._insist(partial(self._logs.read, task_id, after=seq, wait_s=_POLL_S))
            for line in part.lines:
                on_line(line)
                seq = line.seq
            # The log's last line is written after the task's end. Where it was lost, the task itself tells.
            if part.is_complete or not part.lines:
                task = await self._insist(lambda: self._tasks.get(task_id))
                if task.state.is_final:
                    return task

    async def cancel(self, task_ids: Iterable[str]) -> list[str]:
        """Ask for the end of tasks within the time that Ray leaves a job; of those that are just being submitted, too.

        Returns:
            Those whose end the supervisor did not confirm: they may go on.
        """
        asking = {task_id: asyncio.ensure_future(self._cancel(task_id)) for task_id in task_ids}
        if asking:
            await asyncio.wait(asking.values(), timeout=_CANCEL_S)
        for each in asking.values():
            each.cancel()
        return [task_id for task_id, each in asking.items() if not each.done()]

    async def _cancel(self, task_id: str) -> None:
        """Ask for the end of a task until the supervisor has confirmed it, or there is nothing to end."""
        while self._may_exist(task_id):
            try:
                await self._tasks.end(task_id, EndMode.CANCEL)
            except TaskNotFoundError:
                if self._is_accepted(task_id):
                    return  # it was deleted
            except NotReadyError:
                pass
            except TaskError:
                return  # it has ended
            else:
                return
            await asyncio.sleep(_SHORT_PAUSE_S)

    def _may_exist(self, task_id: str) -> bool:
        """Whether a task of this job may be there: it was asked for and not refused. A refused id may be another one's task."""
        asked = self._asked.get(task_id)
        if asked is None or not asked.done():
            return asked is not None
        return not isinstance(asked.exception(), ActorSystemError)

    def _is_accepted(self, task_id: str) -> bool:
        asked = self._asked[task_id]
        return asked.done() and asked.exception() is None

    async def _insist(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Ask until there is an answer. Only for calls that may be repeated."""
        loop = asyncio.get_running_loop()
        begun_at, said = loop.time(), ""
        while True:
            try:
                return await call()
            except (NotReadyError, StoreUnavailableError, LineFullError) as error:
                if not isinstance(error, LineFullError) and loop.time() - begun_at > self._patience_s:
                    raise
                if said != type(error).__name__:
                    said = type(error).__name__
                    self._say(f"waiting: {error}")
            await asyncio.sleep(_PAUSE_S)


async def open_service(say: Say) -> tuple[JobService, Settings]:
    """The service whose Ray this process is connected to, and its settings. Raises NotReadyError."""
    supervisor = NamedActor(SUPERVISOR)
    settings = cast("Settings", await supervisor.ask("settings"))
    return JobService(RayTasks(supervisor), RayLogs(NamedActor(LOG_HUB)), RayModels(supervisor), say=say), settings
