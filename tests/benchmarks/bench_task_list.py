"""What a list of 100 tasks costs on its way from the supervisor's memory to the bytes of the answer, without any network."""

import asyncio
import pickle
import time
from collections.abc import Callable
from statistics import median

from ray import cloudpickle

from actors.core.model import GIB, Lease, Portion
from actors.core.task_events import AttemptProgressed, LeaseGranted, TaskSubmitted
from actors.core.task_flow import TaskFlow
from actors.core.tasks import Progress, Submission, Task
from actors.messages import TaskPage
from configs.settings import Settings
from serve_app.schemas.training import TrainingRequest
from serve_app.submissions import training_submission
from serve_app.task_list import task_list_json

ROUNDS = 50
NAMES = (
    "train_loss train_acc val_loss val_acc macro_f1 micro_f1 mAP top1_acc top3_acc top5_acc macro_precision macro_recall "
    "micro_precision micro_recall precision recall learning_rate best_acc f1_score"
)


def make_submission(number: int) -> Submission:
    request = TrainingRequest(
        model="resnet18", num_classes=10, train_path="data/train", val_path="data/valid", save_path="out", task_id=f"task-{number}"
    )
    return training_submission(request, Settings())


def make_running_task(number: int) -> Task:
    """A training in its fifth epoch."""
    flow, submission = TaskFlow(), make_submission(number)
    flow.handle(TaskSubmitted(submission), now=1.75e9 + number)
    request = flow.lease_request(flow.get(submission.task_id))
    lease = Lease(f"lease-{number}", number, request, (Portion("cuda:0", 1_500, GIB),), 1.75e9)
    flow.handle(LeaseGranted(lease), now=1.75e9 + number + 0.1)
    metrics = dict.fromkeys(NAMES.split(), 0.1234567 + number)
    progress = Progress(50, "epoch 5 of 10", 5, 10, metrics)
    flow.handle(AttemptProgressed(request.request_id, progress), now=1.75e9 + number + 0.2)
    return flow.get(submission.task_id)


def milliseconds(work: Callable[[], object]) -> float:
    """The median time of one call."""
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return median(times) * 1000


def main() -> None:
    page = TaskPage(tuple(make_running_task(number) for number in range(100)), None)
    message = pickle.dumps(page, 5)
    answer = asyncio.run(task_list_json(page))
    print(f"write the actor's message  {milliseconds(lambda: cloudpickle.dumps(page)):7.2f} ms  ({len(message)} bytes)")
    print(f"read the actor's message   {milliseconds(lambda: pickle.loads(message)):7.2f} ms")  # noqa: S301 - our own bytes
    print(f"write the answer           {milliseconds(lambda: asyncio.run(task_list_json(page))):7.2f} ms  ({len(answer)} bytes)")


if __name__ == "__main__":
    main()
