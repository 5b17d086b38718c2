"""What the routes need of the rest of the system, as protocols.

Routes know these and nothing of Ray; ``ray_ports`` implements them over actor handles, tests over plain objects. Every method
raises the domain's errors (``actors.core.errors``), or ``NotReadyError`` while the component behind it does not answer.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from actors.access import ApiKey, AuditEntry, AuditPage, KeyTable, NewKey, Role
from actors.core.explanation import Explanation
from actors.core.lease_history import PastLease
from actors.core.model import WorkKind
from actors.core.tasks import EndMode, Submission, Task
from actors.messages import BooksReport, ComponentHealth, LogSlice, ResourceView, TaskCounters, TaskPage, TaskQuery
from actors.online.orders import PredictAnswer, PredictOrder, PrepareOrder, PrepareReport, TensorAnswer, TensorOrder
from actors.registry.records import ModelTable, ModelVersion, RegisterModel, SetAlias
from actors.task_feed import FeedPosition, TaskNews


class NotReadyError(Exception):
    """A component does not answer now; asking again after ``retry_after_s`` may succeed. HTTP: 503."""

    def __init__(self, component: str, retry_after_s: int = 2) -> None:
        super().__init__(component, retry_after_s)
        self.component = component
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"the {self.component} does not answer; try again in {self.retry_after_s} s"


class TasksPort(Protocol):
    """Tasks, as the supervisor owns them."""

    async def submit(self, submission: Submission) -> Task:
        """Accept a task; durable when this returns. Repeating a task_id with the same content returns the first task.

        Raises:
            DuplicateRequestError: the task_id is in use with another content.
            LineFullError: too many tasks wait.
            SubmissionError: a path or number is wrong on this machine.
            UnsatisfiableRequestError: no device could ever carry it.
        """

    async def get(self, task_id: str) -> Task:
        """One task. Raises TaskNotFoundError."""

    async def list_page(self, query: TaskQuery) -> TaskPage:
        """Tasks, newest first."""

    async def end(self, task_id: str, mode: EndMode) -> Task:
        """Ask for the end of a task. Raises TaskNotFoundError, TaskEndedError."""

    async def set_priority(self, task_id: str, priority: int) -> Task:
        """Give a waiting task another place in the line. Raises TaskNotFoundError, TaskNotWaitingError."""

    async def explain(self, submission: Submission) -> Explanation:
        """What would happen to a submission if it came now; nothing is kept of it.

        Raises:
            SubmissionError, UnsatisfiableRequestError: it would be refused.
        """

    async def delete(self, task_id: str) -> None:
        """Forget an ended task and its log. Raises TaskNotFoundError, TaskNotEndedError."""

    async def watch(self, position: FeedPosition, wait_s: float) -> TaskNews:
        """What changed since a position, once there is something, or after ``wait_s``; with the default position, where the feed stands."""

    async def counters(self) -> TaskCounters:
        """Attempts by outcome and waits since the supervisor began, and the tasks by state."""


class LogsPort(Protocol):
    """Logs, as the log hub owns them."""

    async def read(self, task_id: str, *, after: int, limit: int = 1000, wait_s: float = 0.0) -> LogSlice:
        """Lines with a sequence number above ``after``, oldest first; waits up to ``wait_s`` for the first of them."""


class ResourcesPort(Protocol):
    """Devices and limits, as the accountant owns them."""

    async def view(self) -> ResourceView:
        """All devices and the line now."""

    async def check_books(self) -> BooksReport:
        """The ledger compared with Ray's books and the live processes."""

    async def explain(self, request_id: str) -> Explanation | None:
        """Why a request waits; None if it is not in line."""

    async def past_leases(self, task_id: str) -> Sequence[PastLease]:
        """Every lease that was granted for a task, oldest first, those that are open among them. May raise StoreUnavailableError."""

    async def set_limits(self, limits: Mapping[str, Mapping[WorkKind, int]]) -> ResourceView:
        """Merge new limits by device id; ``cuda`` and ``cpu`` mean every device of the kind.

        Raises:
            LimitError: names the device or kind that is wrong; nothing was changed.
        """


class AccessPort(Protocol):
    """Keys and the audit log, as the gatekeeper owns them. Every method may raise StoreUnavailableError."""

    async def watch_keys(self, version: int, wait_s: float) -> KeyTable:
        """All keys once their version is another than the given one (-1: at once), or after ``wait_s``."""

    async def add_key(self, name: str, role: Role) -> NewKey:
        """Make a key."""

    async def revoke_key(self, key_id: str) -> ApiKey:
        """Take a key back. Raises KeyNotFoundError, LastAdminKeyError."""

    async def write_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Keep entries; they may come twice."""

    async def read_audit(self, cursor: int | None, limit: int) -> AuditPage:
        """Entries, newest first; those after the page that ended with ``cursor``."""


class HealthPort(Protocol):
    """Whether the components answer."""

    async def components(self) -> Mapping[str, ComponentHealth]:
        """accountant, supervisor, log_hub, predictor, store, ingress and watchdog (where there is one); never raises."""


class ModelsPort(Protocol):
    """The model registry, who lives with the supervisor."""

    async def watch(self, revision: int, wait_s: float) -> ModelTable:
        """All models, as soon as their revision is another than ``revision``; after ``wait_s`` at the latest."""

    async def register(self, wish: RegisterModel) -> ModelVersion:
        """Keep a new version: its weights are copied, and its card and lineage noted.

        Raises:
            SubmissionError: a path, the task or the weights' description is wrong.
            TaskNotFoundError: there is no such training.
            StoreUnavailableError: nothing was kept.
        """

    async def set_alias(self, wish: SetAlias) -> ModelTable:
        """Let an alias mean another version. Raises ModelNotFoundError, AliasMovedError."""

    async def remove_alias(self, name: str, alias: str) -> ModelTable:
        """Let an alias mean nothing. Raises ModelNotFoundError."""

    async def delete(self, name: str, version: int | None) -> ModelTable:
        """Forget a version, or a whole model; files that no other version needs go too. Raises ModelNotFoundError, ModelInUseError."""


class PredictorPort(Protocol):
    """Online prediction, as the replicas of the predictor do it."""

    async def predict(self, order: PredictOrder) -> PredictAnswer:
        """Predict files with one version. Cancelling the call drops the work.

        Raises:
            ModelCheckError: the version cannot be loaded.
            PredictionInputError: nothing of what was sent can be predicted by this version.
            DeadlineExceededError, ServingFullError: nothing was computed.
            NotReadyError: no replica answers.
        """

    async def infer(self, order: TensorOrder) -> TensorAnswer:
        """The same for a batch that is ready for the network. Raises as ``predict``."""

    async def prepare(self, order: PrepareOrder) -> Sequence[PrepareReport]:
        """Let every replica load and check a version; a report from each. Raises NotReadyError where there is none."""

    async def free(self, name: str, version: int) -> None:
        """Let every replica forget a version that nobody asks for any more; what is under way in it ends first."""
