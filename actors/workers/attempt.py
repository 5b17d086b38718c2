"""One attempt of one task, in a process of its own.

The process binds its lease before anything else, keeps it alive from a thread of normal urgency, does the work in a thread of the
lowest, and ends with a result that the supervisor fetches. It stops by itself when its lease is lost.
"""

import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ray.exceptions import RayError

from actors.attempt_order import AttemptOrder, AttemptResult
from actors.core.errors import ActorSystemError, LeaseExpiredError, LeaseNotFoundError
from actors.core.model import WorkKind
from actors.core.tasks import EVALUATE, TaskFault
from actors.fence import FencedFolder
from actors.files.errors import WorkError
from actors.learning.errors import RANK_LOST
from actors.lease_client import LeaseKeeper
from actors.paths import build_data_roots, build_model_roots, check_still_inside
from actors.presence import own_presence
from actors.process_group import kill_members, lead_own_group
from actors.redaction import hide_paths
from actors.workers.gpu_memory import GpuMemory
from actors.workers.process import (
    blank_gpus_for_cpu_work,
    choose_thread_count,
    keep_freed_memory,
    set_thread_count,
    yield_to_serving,
)
from actors.workers.reporter import Reporter
from actors.workers.title import Title, describe_attempt
from actors.workers.tools import Tools
from configs.settings import Settings

#: The exit status of a process that ended because its lease was lost.
LEASE_LOST_STATUS = 70
#: How long one question for the outcome waits.
_OUTCOME_WAIT_S = 10.0
#: How long a process that has done its work keeps its lease, and so the result, for a supervisor that is away.
_RESULT_KEPT_S = 600.0
#: The codes of failures that have nothing to do with what was asked for, so that another attempt may end differently.
_PASSING = (RANK_LOST, "service_unreachable", LeaseExpiredError.code, LeaseNotFoundError.code)


class AttemptActor:
    """The process of one attempt. ``outcome`` may be asked for any number of times, by whoever supervises now."""

    def __init__(self, order: AttemptOrder, settings: Settings) -> None:
        lead_own_group()  # before anything is started that must end with this process
        self._order = order
        self._settings = settings
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._result: AttemptResult | None = None
        self._keeper = LeaseKeeper(
            order.granted.lease,
            every_s=settings.heartbeat_s,
            ttl_s=settings.lease_ttl_s,
            on_lost=_end_at_once,
        )
        # A task has one log, and one progress: the first rank's.
        self._reporter = Reporter(order.task_id, order.attempt_id, is_silent=order.rank > 0, show=Title(order).show)
        self._memory = GpuMemory()
        threading.Thread(target=self._run, name="work", daemon=True).start()

    def __repr__(self) -> str:
        """What Ray's dashboard shows."""
        return describe_attempt(self._order)

    def ready(self) -> int:
        """Answer with the process's pid once it is up."""
        return os.getpid()

    def outcome(self) -> AttemptResult | None:
        """Wait for the end of the attempt and say how it ended; None after a while, to be asked again.

        Those who ask may die, and nobody tells: a wait without an end would take one of the few threads for messages from ``stop``.
        """
        return self._result if self._ended.wait(_OUTCOME_WAIT_S) else None

    def stop(self) -> None:
        """Ask the work to stop at the next batch."""
        self._stop.set()

    def _run(self) -> None:
        try:
            self._keeper.begin()
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the supervisor must hear of it
            traceback.print_exc()
            self._result = _explain(error, self._reporter, self._settings.data_roots)
        self._result = _with_peak(self._result, self._memory, self._reporter)
        self._result = replace(self._result, unsent=self._reporter.close())
        self._ended.set()
        self._keeper.end(after_s=_RESULT_KEPT_S)

    def _work(self) -> AttemptResult:
        order, settings = self._order, self._settings
        threads = settings.torch_threads or choose_thread_count(order.granted.device, len(order.granted.places))
        blank_gpus_for_cpu_work(order.granted.device)
        set_thread_count(threads)
        keep_freed_memory()
        yield_to_serving()
        roots = build_data_roots(settings)
        check_still_inside(order.resolved, roots, build_model_roots(settings))
        run = _find_work(order.work, order.task_type)
        folder = FencedFolder(Path(order.resolved["output"]), order.granted.lease.token, order.rank)
        tools = Tools(order, settings, folder, self._reporter, threads, self._stop.is_set, self._memory)
        try:
            return run(tools)
        finally:
            folder.close()


def _find_work(work: WorkKind, task_type: str) -> Callable[[Tools], AttemptResult]:
    """The function that does a kind of work. Imported here: what brings torch must come after the thread's priority is set."""
    if work is WorkKind.TRAINING:
        from actors.workers.training import run_training  # noqa: PLC0415

        return run_training
    if work is WorkKind.PREPROCESSING:
        from actors.workers.preprocessing import run_preprocessing  # noqa: PLC0415

        return run_preprocessing
    if task_type == EVALUATE:
        from actors.workers.evaluation import run_evaluation_job  # noqa: PLC0415

        return run_evaluation_job
    from actors.workers.inference import run_inference_job  # noqa: PLC0415

    return run_inference_job


def _explain(error: BaseException, reporter: Reporter, roots: Sequence[Path]) -> AttemptResult:
    """Turn what the work raised into a result: the user's mistakes in plain words, ours with a hint where to look.

    Paths outside the data roots are the machine's own affair; the traceback in the worker's log has them.
    """
    if isinstance(error, WorkError):
        fault = TaskFault(error.code, error.message, error.hint)
    elif isinstance(error, ActorSystemError):
        fault = TaskFault(error.code, str(error), "the attempt lost its right to go on; the task's history says why")
    elif isinstance(error, RayError):  # before OSError: a timeout of Ray's is one, too
        fault = TaskFault(
            "service_unreachable", f"a part of the service did not answer: {_first_line(error)}", "the attempt can be repeated"
        )
    elif isinstance(error, OSError):
        fault = TaskFault(
            "output_not_writable", f"{error.strerror or error}: {error.filename or ''}".rstrip(": "), "check the folder"
        )
    else:
        hint = "this is a defect of the service; its traceback is in the worker's log"
        fault = TaskFault("internal_error", f"{type(error).__name__}: {error}", hint)
    fault = replace(fault, message=hide_paths(fault.message, roots), hint=hide_paths(fault.hint, roots))
    reporter.line("ERROR", f"{fault.message} ({fault.hint})" if fault.hint else fault.message)
    return AttemptResult("failed", fault.message, fault, is_retryable=fault.code in _PASSING, progress=reporter.progress)


def _first_line(error: BaseException) -> str:
    """What Ray says first; the rest is a stack trace."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _with_peak(result: AttemptResult, memory: GpuMemory, reporter: Reporter) -> AttemptResult:
    """Say in the log and in the result what the process took of its GPU at most; nothing without one."""
    said = memory.describe_peak()
    if said:
        reporter.line("INFO", said)
    return replace(result, peak_bytes=memory.peak().reserved_bytes)


def _end_at_once(reason: str) -> None:
    print(f"lease lost, ending: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - the worker's own log
    kill_members(own_presence())
    os._exit(LEASE_LOST_STATUS)
