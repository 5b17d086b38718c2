"""The task supervisor: the only writer of task records.

A thin shell over ``core.task_flow``: every message becomes one event, every command that comes back is carried out here. It asks the
accountant for leases, brings up attempts on them, writes the last word into each log, and answers for every task. Its truth is in
the store: after a restart it adopts the attempts that live and asks again for the rest.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from ray.exceptions import RayError

from actors.access import GateQuestion
from actors.actor_calls import ANSWER_S, PAUSE_S, ActorCalls
from actors.admission import Admission, check_room
from actors.asking_again import ask_again, event_of, rank_again
from actors.attempt_order import AttemptOrder, AttemptResult
from actors.attempts import AttemptRunner, UnwantedAttemptError
from actors.clock import Clock, SystemClock
from actors.core import task_events as te
from actors.core.attempt_end import is_wanted
from actors.core.errors import (
    ActorSystemError,
    StoreUnavailableError,
    UnsatisfiableRequestError,
)
from actors.core.explanation import Explanation
from actors.core.model import Lease, LeaseRequest
from actors.core.task_flow import TaskFlow
from actors.core.tasks import EndMode, Progress, Submission, Task, TaskState
from actors.duties import Duties
from actors.gatekeeper import Gatekeeper
from actors.housekeeping import Hands, Housekeeper
from actors.learning.memory_need import NeedEstimator, Peak
from actors.messages import EncodedPage, GrantedLease, LeaseAnswer, TaskCounters, TaskQuery
from actors.names import ACCOUNTANT, LOG_HUB, SUPERVISOR
from actors.paths import build_data_roots, build_model_roots
from actors.presence import announce
from actors.record_keeper import RecordKeeper
from actors.registry.records import RegistryQuestion
from actors.registry.registry import ModelRegistry
from actors.retention import Bounds
from actors.start import Start, is_reborn
from actors.store import Store
from actors.store_writer import StoreWriter
from actors.task_counters import TaskTally
from actors.task_feed import FeedPosition, TaskNews
from actors.task_index import TaskIndex
from actors.task_log import TaskLogWriter
from actors.task_watch import TaskWatch
from configs.settings import Settings

_POLL_S = 30.0
#: A wish is on disk before it is answered for; on a full one it is carried out all the same, and written when there is room.
_WRITTEN_S = 2.0


class TaskSupervisor:
    """Owner of all tasks.

    Invariant: the flow is changed only in ``_apply``; nobody is told "accepted" before the record is on disk.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        announce(settings.state_dir, SUPERVISOR)
        self._settings = settings
        self._clock = clock or SystemClock()
        self._store = Store(settings.database_url)
        self._writer = StoreWriter(self._store)
        self._records = RecordKeeper(self._writer)
        self._gatekeeper = Gatekeeper(settings, self._clock)
        self._needs = NeedEstimator()
        cache = settings.picture_cache_mb << 20
        roots, model_roots = build_data_roots(settings), build_model_roots(settings)
        self._admission = Admission(roots, self._needs, model_roots=model_roots, picture_cache_bytes=cache)
        self._runner = AttemptRunner(settings, self._take_result)
        self._flow = TaskFlow()
        self._registry = ModelRegistry(settings, self._clock, self._flow.get)
        self._tally = TaskTally()
        self._index = TaskIndex()
        self._watch = TaskWatch(self._flow, self._index)
        self._logs = TaskLogWriter(self._clock, self._records.written)
        self._accepting: dict[str, asyncio.Future[None]] = {}
        self._granted: dict[str, GrantedLease] = {}
        self._calls = ActorCalls()
        self._duties = Duties()
        hands = Hands(self._drop, partial(self._calls.insist, LOG_HUB))
        self._housekeeper = Housekeeper(Bounds.of(settings), self._flow, hands=hands, roots=roots, clock=self._clock)
        self._start = Start(self._begin)

    # --- messages ---

    async def ping(self) -> float:
        """Answer with the time, once the tasks are known."""
        await self._start.finished()
        return self._clock.now()

    async def settings(self) -> Settings:
        """What this service runs with; programs of users understand their requests by it."""
        return self._settings

    async def store_ping(self) -> float:
        """How long the store takes to answer, in milliseconds; one that took nothing the last time must take something now.

        Raises:
            StoreUnavailableError: it cannot be read, or written.
        """
        loop = asyncio.get_running_loop()
        begin = loop.time()
        if self._writer.trouble:
            await asyncio.to_thread(self._store.prove_room)
            self._writer.trouble = ""
        await asyncio.to_thread(self._store.ping)
        return (loop.time() - begin) * 1000

    async def submit(self, submission: Submission) -> Task:
        """Accept a task: checked, and on disk when this returns. Repeating it returns the first task.

        Raises:
            DuplicateRequestError, LineFullError, SubmissionError, UnsatisfiableRequestError, StoreUnavailableError.
        """
        await self._start.finished()
        known = self._flow.tasks.get(submission.task_id)
        if known is None:
            submission = await self._admit(submission)
        commands = self._apply(te.TaskSubmitted(submission))
        if commands:
            await self._accept(submission.task_id, commands)
        elif submission.task_id in self._accepting:
            await asyncio.shield(self._accepting[submission.task_id])
        return self._watch.view(self._flow.get(submission.task_id))

    async def get(self, task_id: str) -> Task:
        """One task. Raises TaskNotFoundError."""
        await self._start.finished()
        return self._watch.view(self._flow.get(task_id))

    async def list_page(self, query: TaskQuery) -> EncodedPage:
        """Tasks, newest first, without their histories."""
        await self._start.finished()
        return self._watch.page(query)

    async def watch_tasks(self, position: FeedPosition, wait_s: float) -> TaskNews:
        """What changed since a position, once there is something, or after ``wait_s``."""
        await self._start.finished()
        return await self._watch.news(position, wait_s)

    async def end(self, task_id: str, mode: EndMode) -> Task:
        """Ask for the end of a task. Raises TaskNotFoundError, TaskEndedError."""
        await self._start.finished()
        self._carry_out(self._apply(te.EndRequested(task_id, mode)))
        await self._records.written(task_id, most_s=_WRITTEN_S)
        return self._watch.view(self._flow.get(task_id))

    async def delete(self, task_id: str) -> None:
        """Forget an ended task and its log. Raises TaskNotFoundError, TaskNotEndedError."""
        await self._start.finished()
        self._drop(task_id)

    async def set_priority(self, task_id: str, priority: int) -> Task:
        """Give a waiting task another place in the line. Raises TaskNotFoundError, TaskNotWaitingError."""
        await self._start.finished()
        self._carry_out(self._apply(te.PriorityChanged(task_id, priority)))
        await self._records.written(task_id, most_s=_WRITTEN_S)
        return self._watch.view(self._flow.get(task_id))

    async def explain(self, submission: Submission) -> Explanation:
        """What would happen to a submission if it came now; nothing is kept of it.

        Raises:
            SubmissionError, UnsatisfiableRequestError: it would be refused.
        """
        await self._start.finished()
        checked = self._admission.check_memory(await asyncio.to_thread(self._admission.check, submission))
        explanation: Explanation = await self._calls.ask(ACCOUNTANT, "explain_draft", self._draft_request(checked))
        return explanation

    async def report_progress(self, attempt_id: str, progress: Progress) -> None:
        """An attempt tells how far it is."""
        await self._start.finished()
        self._carry_out(self._apply(te.AttemptProgressed(attempt_id, progress)))

    async def counters(self) -> TaskCounters:
        """What was counted since this process began, and the tasks by state."""
        await self._start.finished()
        return replace(self._tally.read(self._flow.tasks.values()), removed=self._housekeeper.removed)

    async def gatekeep(self, question: GateQuestion) -> Any:
        """Pass a question on to the gatekeeper, who lives in this process."""
        return await self._gatekeeper.answer(question)

    async def ask_registry(self, question: RegistryQuestion) -> Any:
        """Pass a question on to the model registry, who lives in this process; it asks for tasks."""
        await self._start.finished()
        return await self._registry.answer(question)

    # --- acceptance ---

    async def _admit(self, submission: Submission) -> Submission:
        """Check what can be known now; returns the submission with its paths resolved."""
        if self._flow.unfinished_count >= self._settings.task_queue_size:  # else there is room, whoever of them waits
            check_room(submission, self._flow.waiting(), self._settings.task_queue_size)
        asked = asyncio.create_task(self._calls.ask(ACCOUNTANT, "check", self._draft_request(submission)))
        try:
            checked = await asyncio.to_thread(self._admission.check, submission)
            earlier = submission.request.get("resume_from")
            if earlier:
                checkpoint = await asyncio.to_thread(self._admission.find_checkpoint, self._flow.tasks.get(earlier), earlier)
                checked = replace(checked, resolved={**checked.resolved, "resume_from": checkpoint})
        except ActorSystemError:
            asked.cancel()
            raise
        try:
            return self._admission.check_memory(checked, await asked)
        except UnsatisfiableRequestError:
            if self._settings.gpu_fallback == "cpu" and checked.device.startswith("cuda"):
                return replace(checked, device="cpu")
            raise

    def _draft_request(self, submission: Submission) -> LeaseRequest:
        """The lease request that a submission would lead to."""
        now = self._clock.now()
        return self._flow.lease_request(Task(submission, TaskState.PENDING, now, now, attempt_id=submission.task_id))

    async def _accept(self, task_id: str, commands: list[te.TaskCommand]) -> None:
        """Make a new task durable, then let it begin unless it was ended meanwhile; forget it where the store refuses."""
        task = self._flow.get(task_id)
        durable = asyncio.wrap_future(self._writer.accept(task))
        self._accepting[task_id] = durable
        try:
            await durable
        except ActorSystemError:
            self._flow.discard(task_id)
            self._records.forget(task_id)  # a version of it may wait for room, where somebody ended it meanwhile
            self._logs.forget(task_id)
            raise
        finally:
            del self._accepting[task_id]
        if task_id not in self._flow.tasks:
            return
        self._index.add(task)
        self._watch.note(task_id)
        if not self._flow.get(task_id).state.is_final:
            self._carry_out(command for command in commands if not isinstance(command, te.SaveTask))

    # --- the transition and what follows ---

    def _apply(self, event: te.TaskEvent) -> list[te.TaskCommand]:
        commands = self._flow.handle(event, now=self._clock.now())
        self._tally.count(event, commands)
        return commands

    def _carry_out(self, commands: Iterable[te.TaskCommand]) -> None:
        saved = ""
        for command in commands:
            match command:
                case te.SaveTask(task):
                    saved = task.task_id
                    self._records.save(task)
                    self._watch.note(saved)
                case te.ForgetTask(task_id):
                    self._forget(task_id)
                case te.RequestLease(request):
                    self._duties.begin(self._request_lease(request))
                case te.WithdrawRequest() | te.RerankRequest():
                    self._change_line(command)
                case te.StartAttempt(task, lease, resume):
                    self._duties.begin(self._records.then(task.task_id, self._run_attempt(task, lease, resume=resume)))
                case te.StopAttempt(attempt_id, at_once):
                    self._stop_attempt(attempt_id, at_once=at_once)
                case te.FinishAttempt():
                    self._duties.begin(self._records.then(saved, self._finish(command)))
                case te.Announce():
                    self._logs.put(command)

    def _change_line(self, command: te.WithdrawRequest | te.RerankRequest) -> None:
        if isinstance(command, te.WithdrawRequest):
            self._duties.begin(self._calls.insist(ACCOUNTANT, "withdraw", command.attempt_id))
        else:
            self._duties.begin(self._calls.insist(ACCOUNTANT, "rerank", command.attempt_id, command.priority))

    def _drop(self, task_id: str) -> None:
        self._carry_out(self._apply(te.TaskDeleted(task_id)))

    def _forget(self, task_id: str) -> None:
        self._index.remove(task_id)
        self._watch.forget(task_id)
        self._records.forget(task_id)
        self._logs.forget(task_id)

    def _stop_attempt(self, attempt_id: str, *, at_once: bool) -> None:
        self._duties.begin(self._runner.kill(attempt_id) if at_once else self._runner.stop(attempt_id))

    async def _finish(self, over: te.FinishAttempt) -> None:
        """End the process of an attempt that is over and give its lease back."""
        self._granted.pop(over.attempt_id, None)
        release = self._calls.insist(ACCOUNTANT, "release", over.lease_id, over.token, over.is_complete)
        await asyncio.gather(self._runner.kill(over.attempt_id), release)

    async def _request_lease(self, request: LeaseRequest) -> None:
        """Ask the accountant until it answers, and let the flow take in the answer."""
        (answer,) = await self._calls.insist(ACCOUNTANT, "acquire_all", [request])
        self._take_answer(request, answer)

    def _take_answer(self, request: LeaseRequest, answer: LeaseAnswer) -> None:
        if isinstance(answer, GrantedLease):
            self._granted[request.request_id] = answer
        self._carry_out(self._apply(event_of(request, answer)))

    async def _run_attempt(self, task: Task, lease: Lease, *, resume: bool) -> None:
        order = AttemptOrder.of(task, self._granted[lease.request.request_id], resume=resume)
        self._carry_out(self._apply(await self._runner.run(order, self._renew)))

    async def _renew(self, lease: Lease) -> None:
        """Keep the lease of an attempt whose process is still coming up. Raises LeaseError where it is over, UnwantedAttemptError."""
        await self._calls.ask_once(ACCOUNTANT, "renew_until_bound", lease.lease_id, lease.token)
        if not is_wanted(self._flow.current(lease.request.request_id)):
            raise UnwantedAttemptError

    async def _follow_decisions(self) -> None:
        """Take in grants as the accountant makes them; after its restart, ask again for everything that waits."""
        incarnation, seq = "", 0
        while True:
            try:
                news = await self._calls.ask(ACCOUNTANT, "next_decisions", incarnation, seq, _POLL_S, deadline_s=_POLL_S + ANSWER_S)
            except (RayError, TimeoutError, ValueError):
                await asyncio.sleep(PAUSE_S)
                continue
            if news.incarnation != incarnation and incarnation:
                self._ask_again()
            incarnation, seq = news.incarnation, news.seq
            self._watch.take_line(news.order)
            for granted in news.grants:
                self._take_answer(granted.lease.request, granted)
            for attempt_id in news.revocations:
                self._carry_out(self._apply(te.LeaseRevoked(attempt_id)))

    def _ask_again(self) -> None:
        ask, tell = (partial(self._calls.insist, ACCOUNTANT, message) for message in ("acquire_all", "rerank"))
        self._duties.begin(ask_again(self._flow, self._settings.patience_s, ask, self._take_answer))
        self._duties.begin(rank_again(self._flow, tell))

    # --- life ---

    async def _begin(self) -> None:
        """Read the tasks, adopt the attempts that live, and ask again for the leases of the rest."""
        for peak in await asyncio.to_thread(self._store.read_peaks):
            self._needs.learn(peak)
        for task in await asyncio.to_thread(self._store.read_tasks):
            self._flow.restore(task)
            self._index.add(task)
        is_same_service = await asyncio.to_thread(is_reborn)
        for task in self._flow.running():
            if is_same_service:
                self._duties.begin(self._adopt(task))
            else:  # at once, so that it is asked for with all others that wait, in its place
                over = te.AttemptDied(task.attempt_id, "the service ended while it ran", is_counted=False)
                self._carry_out(self._apply(over))
        self._logs.retell_newest(self._flow.tasks.values())
        self._ask_again()
        self._duties.begin(self._follow_decisions())
        self._duties.begin(self._speak())
        self._duties.begin(self._housekeeper.keep())

    async def _speak(self) -> None:
        """Send what is for the logs, one after the other; what the hub does not take is sent again."""
        while True:
            message = await self._logs.next_message()
            try:
                await self._calls.ask(LOG_HUB, *message.message)
                self._logs.done(message)
            except (RayError, TimeoutError, ValueError):
                await asyncio.sleep(PAUSE_S)

    async def _adopt(self, task: Task) -> None:
        """See an attempt of an earlier supervisor to its end, and ask for that again where it was asked for."""
        if not is_wanted(task):
            self._stop_attempt(task.attempt_id, at_once=task.ending is EndMode.KILL)
        assert task.lease is not None  # noqa: S101 - a running task has one
        keep = partial(self._calls.ask_once, ACCOUNTANT, "renew_until_bound", task.lease.lease_id, task.lease.token)
        self._carry_out(self._apply(await self._runner.adopt(task.attempt_id, task.submission.device_count, keep)))

    def _take_result(self, attempt_id: str, result: AttemptResult) -> None:
        """Take in what an attempt says beside its outcome: what a training needed on a real GPU, and lines that it could not send."""
        if result.peak is not None:
            self._needs.learn(result.peak)
            self._duties.begin(self._keep_peak(result.peak))
        task = self._flow.current(attempt_id)
        if result.unsent and task is not None:
            self._logs.forward(task.task_id, attempt_id, result.unsent)

    async def _keep_peak(self, peak: Peak) -> None:
        with suppress(StoreUnavailableError):  # the next such training measures it again
            await asyncio.to_thread(self._store.write_peak, peak)
