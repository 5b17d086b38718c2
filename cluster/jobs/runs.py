"""One job from its file to its exit code: submit, follow, and cancel when it is stopped.

Owns what a job prints and how it ends. What a file means is in ``orders`` and ``sweeps``, the talking in ``service``.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import datetime
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import uuid4

from actors.core.errors import ActorSystemError, StoreUnavailableError, TaskNotFoundError
from actors.core.tasks import Submission, Task, TaskState
from actors.files.atomic import make_folder, write_text_atomically
from actors.files.errors import WorkError
from actors.messages import LogLine
from actors.paths import build_data_roots
from cluster.jobs.orders import KINDS, JobFile, JobFileError, check_request, stem_of, with_task_id
from cluster.jobs.service import JobService, Say, open_service
from cluster.jobs.sweeps import Outcome, Run, Sweep, as_csv, as_json, as_table, describe_changes, find_best, plan_runs, read_sweep
from configs.settings import Settings
from serve_app.http_errors import describe_error
from serve_app.ports import NotReadyError

#: The kind of job that is many.
SWEEP: Final = "sweep"
TABLE_NAMES: Final = ("sweep.csv", "sweep.json")
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
#: Finds the service and its settings.
Reach = Callable[[Say], Awaitable[tuple[JobService, Settings]]]


class JobExit(IntEnum):
    """How a job's process ends."""

    COMPLETED = 0
    FAILED = 1
    REFUSED = 2  # the file, or what it asks for, cannot be used
    CANCELLED = 3
    UNREACHABLE = 4  # no service, or a part of it stayed away


_EXIT_OF: Final = MappingProxyType(
    {TaskState.COMPLETED: JobExit.COMPLETED, TaskState.FAILED: JobExit.FAILED, TaskState.CANCELLED: JobExit.CANCELLED}
)


class Job:
    """One run of the program, connected to Ray.

    Invariant: ``_open`` names every task that may have been submitted, before it is, until it is known to have ended or to be refused;
    so a stop reaches all of them, and none is left without a word.
    """

    def __init__(self, service: JobService, settings: Settings, *, job_id: str, say: Say) -> None:
        self._service = service
        self._settings = settings
        self._job_id = job_id
        self._say = say
        self._open: list[str] = []

    async def run(self, file: JobFile) -> JobExit:
        """Do what the file asks for, until its end or until this process is asked to stop."""
        try:
            return await self._unless_stopped(self._run_sweep(file) if file.kind == SWEEP else self._run_one(file))
        finally:
            if self._open:
                self._say(f"{', '.join(self._open)} may go on; `rfuav tasks cancel ID` ends one")

    async def _run_one(self, file: JobFile) -> JobExit:
        request = check_request(file.kind, with_task_id(file.values, self._job_id), file.where)
        task = await self._submit(KINDS[file.kind].build(request, self._settings))
        self._say(f"task {task.task_id}, {task.submission.work.value} on {task.submission.device}, priority {task.priority}")
        return self._conclude(await self._follow(task))

    def _conclude(self, task: Task) -> JobExit:
        fault = f": {task.fault.message}" if task.fault else ""
        hint = f" ({task.fault.hint})" if task.fault and task.fault.hint else ""
        self._say(f"task {task.task_id} {task.state.value}{fault}{hint}; its files: {task.submission.output_path}")
        return _EXIT_OF[task.state]

    async def _run_sweep(self, file: JobFile) -> JobExit:
        sweep = read_sweep(file.values, file.where)
        runs = plan_runs(sweep, stem_of(self._job_id or f"sweep-{uuid4().hex[:12]}"), file.where)
        self._say(f"{len(runs)} runs: every combination of {', '.join(sweep.grid)}")
        tasks = await self._submit_all(sweep, runs)
        outcomes = await asyncio.gather(*(self._follow_run(run, task) for run, task in zip(runs, tasks, strict=True)))
        return self._conclude_sweep(sweep, outcomes)

    async def _submit_all(self, sweep: Sweep, runs: Sequence[Run]) -> list[Task]:
        """Submit every run in order; where one is refused, those before it are cancelled."""
        tasks: list[Task] = []
        for run in runs:
            try:
                task = await self._submit(KINDS[sweep.kind].build(run.request, self._settings))
            except StoreUnavailableError:
                raise
            except ActorSystemError as error:
                await self._cancel_open()
                raise JobFileError(f"{describe_changes(run.changes)}: {describe_error(error).message}") from None
            self._say(f"[{run.name}] task {task.task_id}: {describe_changes(run.changes)}")
            tasks.append(task)
        return tasks

    async def _follow_run(self, run: Run, task: Task) -> Outcome:
        """The end of a run; one whose task is deleted meanwhile counts as cancelled, and the others go on."""
        try:
            return Outcome(run, await self._follow(task, f"[{run.name}] "))
        except TaskNotFoundError:
            self._say(f"[{run.name}] task {task.task_id} was deleted")
            return Outcome(run, replace(task, state=TaskState.CANCELLED))

    def _conclude_sweep(self, sweep: Sweep, outcomes: Sequence[Outcome]) -> JobExit:
        for line in as_table(outcomes, sweep):
            self._say(line)
        best = find_best(outcomes, sweep)
        if best is None:
            known = sorted({name for each in outcomes for name in each.figures})
            self._say(f"no completed run has the metric {sweep.metric}; there are: {', '.join(known) or 'none'}")
        else:
            self._say(f"best by {sweep.metric}: {best.run.name} ({describe_changes(best.run.changes)})")
        self._write_tables(sweep, outcomes)
        states = {each.task.state for each in outcomes}
        worst = next((state for state in (TaskState.FAILED, TaskState.CANCELLED) if state in states), TaskState.COMPLETED)
        return _EXIT_OF[worst]

    def _write_tables(self, sweep: Sweep, outcomes: Sequence[Outcome]) -> None:
        """Write the table beside the folders of the runs. Raises WorkError."""
        # As the supervisor resolved it; looked at once more, since links may have changed meanwhile.
        output = Path(outcomes[0].task.submission.resolved["output"])
        folder = build_data_roots(self._settings).locate(output.parent)
        make_folder(folder)
        for name, text in zip(TABLE_NAMES, (as_csv(outcomes, sweep), as_json(outcomes, sweep)), strict=True):
            write_text_atomically(folder / name, text)
        self._say(f"the table: {folder / TABLE_NAMES[0]} and {TABLE_NAMES[1]}")

    async def _submit(self, submission: Submission) -> Task:
        self._open.append(submission.task_id)
        try:
            return await self._service.submit(submission)
        except ActorSystemError:
            self._open.remove(submission.task_id)
            raise

    async def _follow(self, task: Task, mark: str = "") -> Task:
        """Say a task's lines until its end. Raises TaskNotFoundError, NotReadyError."""
        try:
            task = await self._service.follow(task.task_id, lambda line: self._say(f"{mark}{as_line(line)}"))
        except TaskNotFoundError:
            self._open.remove(task.task_id)
            raise
        self._open.remove(task.task_id)
        return task

    async def _cancel_open(self) -> None:
        self._open = await self._service.cancel(self._open)

    async def _unless_stopped(self, work: Coroutine[Any, Any, JobExit]) -> JobExit:
        """The end of the work; where this process is asked to stop before, its tasks are cancelled."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, stop.set)
        working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if working.done():
            return working.result()
        working.cancel()
        self._say(f"stopped; cancelling {', '.join(self._open) or 'nothing: no task was submitted yet'}")
        await self._cancel_open()
        return JobExit.CANCELLED


def as_line(line: LogLine) -> str:
    """A line of a task's log for people; its metrics are in its words."""
    at = datetime.fromtimestamp(line.at).astimezone()
    return f"{at:%H:%M:%S} {line.level:7} {line.message}"


async def run_job(file: JobFile, *, job_id: str, say: Say, complain: Say, reach: Reach = open_service) -> JobExit:
    """Run a job of this process, which is connected to Ray; every error ends as a line and an exit code."""
    try:
        service, settings = await reach(say)
        return await Job(service, settings, job_id=job_id, say=say).run(file)
    except JobFileError as error:
        complain(str(error))
        return JobExit.REFUSED
    except (NotReadyError, StoreUnavailableError) as error:
        complain(str(error))
        return JobExit.UNREACHABLE
    except ActorSystemError as error:
        complain(f"{file.where}: {describe_error(error).message}")
        return JobExit.REFUSED
    except WorkError as error:
        complain(f"{error.message} ({error.hint})")
        return JobExit.FAILED
