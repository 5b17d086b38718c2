"""The waiting line, told again to an accountant that knows nothing of it (after its restart, or the supervisor's), and what it answers.

Best-ranked first, so that a device that is free goes to whom it would have gone to. Many requests go in one message: ten thousand
messages would keep everybody else who asks the accountant waiting for seconds.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from actors.core import task_events as te
from actors.core.errors import RequestError
from actors.core.model import LeaseRequest
from actors.core.task_flow import TaskFlow
from actors.core.tasks import TaskState
from actors.core.waiting_line import rank_of
from actors.messages import GrantedLease, LeaseAnswer, Queued

#: Requests in one message: the accountant answers nobody else while it takes them in, which is some 20 ms.
REQUESTS_PER_MESSAGE: Final = 1_000

AskAll = Callable[[Sequence[LeaseRequest]], Awaitable[Sequence[LeaseAnswer]]]
TellPriority = Callable[[str, int], Awaitable[None]]
TakeAnswer = Callable[[LeaseRequest, LeaseAnswer], None]


async def ask_again(flow: TaskFlow, patience_s: float, ask: AskAll, take: TakeAnswer) -> None:
    """Repeat the request of every task that waits; what is known already gets its first answer.

    Args:
        flow: the tasks; read anew before each message, since users may cancel and re-rank meanwhile.
        patience_s: as the accountant's line has it.
        ask: sends requests and returns an answer to each, in their order.
        take: takes in one answer.
    """
    requests = sorted((flow.lease_request(task) for task in flow.waiting()), key=lambda request: rank_of(request, patience_s))
    attempts = [request.request_id for request in requests]
    for begin in range(0, len(attempts), REQUESTS_PER_MESSAGE):
        due = _still_waiting(flow, attempts[begin : begin + REQUESTS_PER_MESSAGE])
        if due:
            for request, answer in zip(due, await ask(due), strict=True):
                take(request, answer)


async def rank_again(flow: TaskFlow, tell: TellPriority) -> None:
    """Repeat the place in line that users gave to tasks that wait: who knew a task already may not have heard of its new one.

    Args:
        flow: the tasks.
        tell: tells the accountant the priority of one attempt; nothing happens where it is not in line.
    """
    for attempt_id in [task.attempt_id for task in flow.waiting() if task.new_priority is not None]:
        task = flow.current(attempt_id)
        if task is not None:
            await tell(attempt_id, task.priority)


def event_of(request: LeaseRequest, answer: LeaseAnswer) -> te.TaskEvent:
    """What an answer of the accountant means for the task that asked."""
    match answer:
        case RequestError():
            return te.LeaseRejected(request.request_id, answer)
        case Queued():
            return te.LeaseQueued(request.request_id, answer.reason)
        case GrantedLease():
            return te.LeaseGranted(answer.lease)


def _still_waiting(flow: TaskFlow, attempts: Sequence[str]) -> list[LeaseRequest]:
    tasks = [task for task in map(flow.current, attempts) if task is not None and task.state is not TaskState.RUNNING]
    return [flow.lease_request(task) for task in tasks]
