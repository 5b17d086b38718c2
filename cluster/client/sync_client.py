"""The client that blocks: performs the steps of flows one after the other. What there is to decide, the flows have decided.

The list of methods stands in both clients, since no type of Python says "the same, but awaited"; a test holds the lists together.
"""

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from cluster.client import file_calls, model_calls, service_calls, submissions, task_calls
from cluster.client.address import find_service
from cluster.client.flows import Answer, Conversation, Do, Flow, Item, Items, Open, Pause, Read, Send, Step, ask
from cluster.client.operation import Call
from cluster.client.retry import Manner, Retry
from cluster.client.surface import named_after
from cluster.client.wire import build_request

A = TypeVar("A")
P = ParamSpec("P")


def _call(build: Callable[P, Call[A]]) -> Callable[Concatenate["Client", P], A]:
    """A method that sends the call that a function describes."""

    @named_after(build, leave_out=0)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> A:
        return self.run(ask(self.manner, build(*args, **kwargs)))

    return method


def _flow(build: Callable[Concatenate[Manner, P], Flow[A]]) -> Callable[Concatenate["Client", P], A]:
    """A method that runs the flow that a function makes."""

    @named_after(build, leave_out=1)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> A:
        return self.run(build(self.manner, *args, **kwargs))

    return method


def _items(build: Callable[Concatenate[Manner, P], Items[A]]) -> Callable[Concatenate["Client", P], Generator[A, None, None]]:
    """A method that hands on what the flow that a function makes has for its caller."""

    @named_after(build, leave_out=1)
    def method(self: "Client", /, *args: P.args, **kwargs: P.kwargs) -> Generator[A, None, None]:
        return self.iterate(build(self.manner, *args, **kwargs))

    return method


class Client:
    """The service, from a program that blocks. May be shared by threads, each with its own iterators.

    >>> with Client() as client:
    ...     task = client.train(model="resnet18", num_classes=3, train_path="demo/train", val_path="demo/valid", save_path="runs/1")
    ...     for epoch in client.follow_metrics(task["task_id"]):
    ...         print(epoch["epoch"], epoch["val_acc"])
    ...     print(client.wait(task["task_id"])["status"])

    Every method but the iterators returns the answer's model, or raises a ``ServiceError`` whose text names the remedy. Answers that
    are ``TaskResponse`` and the like are dictionaries. Lost connections and a busy service are dealt with as ``Retry`` says; what would
    be done twice by repeating is repeated only where nothing reached the service.
    """

    def __init__(  # noqa: PLR0913 - keywords, each with a default
        self,
        url: str = "",
        *,
        api_key: str = "",
        timeout_s: float = 30.0,
        retry: Retry | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say where the service is; nothing is sent yet.

        Args:
            url: of the service; by default RFUAV_URL, else http://127.0.0.1:8000.
            api_key: by default RFUAV_API_KEY, else none.
            timeout_s: the longest silence of a connection; calls that take longer by nature have times of their own.
            retry: how patient to be; ``NEVER`` repeats nothing.
            transport: what carries the requests, for tests.
            sleep: how to pause.
            clock: how to tell the time, in seconds.

        Raises:
            InvalidRequestError: nothing can be at this URL.
        """
        address = find_service(url, api_key)
        self.url = address.url
        self.manner = Manner(address.url, retry or Retry(), clock)
        self._sleep = sleep
        # No proxy of the environment is asked for what is on this machine.
        self._http = httpx.Client(
            headers=address.headers,
            timeout=timeout_s,
            transport=transport,
            trust_env=not address.is_this_machine,
            verify=not address.is_direct,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    # Submit.
    train = _call(submissions.train)
    infer = _call(submissions.infer)
    infer_batch = _call(submissions.infer_batch)
    evaluate = _call(submissions.evaluate)
    split = _call(submissions.split)
    augment = _call(submissions.augment)
    crop = _call(submissions.crop)
    spectrogram = _call(submissions.spectrogram)
    explain = _call(submissions.explain)

    # Look at, wait for, follow and end tasks.
    task = _call(task_calls.task)
    task_page = _call(task_calls.task_page)
    tasks = _items(task_calls.tasks)
    wait = _flow(task_calls.wait)
    wait_for_batch = _flow(task_calls.wait_for_batch)
    log = _call(task_calls.log)
    follow_log = _items(task_calls.follow_log)
    metrics = _call(task_calls.metrics)
    follow_metrics = _items(task_calls.follow_metrics)
    confusion_matrix = _call(task_calls.confusion_matrix)
    evaluation = _call(task_calls.evaluation)
    preprocessing = _call(task_calls.preprocessing)
    results = _items(task_calls.results)
    file_results = _items(task_calls.file_results)
    batch = _call(task_calls.batch)
    cancel_batch = _call(task_calls.cancel_batch)
    cancel = _call(task_calls.cancel)
    stop = _call(task_calls.stop)
    kill = _call(task_calls.kill)
    delete = _call(task_calls.delete)
    set_priority = _call(task_calls.set_priority)
    why = _call(task_calls.why)
    history = _call(task_calls.history)
    leases = _call(task_calls.leases)
    stream_ticket = _call(task_calls.stream_ticket)

    # Files of tasks and of the data roots.
    files = _items(file_calls.files)
    read_file = _flow(file_calls.read_file)
    download = _flow(file_calls.download)
    data = _call(file_calls.data)
    data_entries = _items(file_calls.data_entries)
    upload = _call(file_calls.upload)

    # Predict, and keep models.
    models = _call(model_calls.models)
    model = _call(model_calls.model)
    version = _call(model_calls.version)
    register = _call(model_calls.register)
    promote = _call(model_calls.promote)
    remove_alias = _call(model_calls.remove_alias)
    delete_model = _call(model_calls.delete_model)
    delete_version = _call(model_calls.delete_version)
    compare = _call(model_calls.compare)
    predict = _call(model_calls.predict)

    # The service itself.
    resources = _call(service_calls.resources)
    gpus = _call(service_calls.gpus)
    cpu = _call(service_calls.cpu)
    check_books = _call(service_calls.check_books)
    set_limits = _call(service_calls.set_limits)
    about = _call(service_calls.about)
    health = _call(service_calls.health)
    info = _call(service_calls.info)
    prometheus = _flow(service_calls.prometheus)
    keys = _call(service_calls.keys)
    add_key = _call(service_calls.add_key)
    revoke_key = _call(service_calls.revoke_key)
    audit = _items(service_calls.audit)
    events = _items(service_calls.events)

    def run(self, flow: Flow[A]) -> A:
        """Perform the steps of a flow, and return its result."""
        with closing(_Performer(self._http, self.url, self._sleep, flow)) as performer:
            while True:
                try:
                    step = performer.advance()
                except StopIteration as end:
                    result: A = end.value
                    return result
                performer.perform(step)

    def iterate(self, items: Items[A]) -> Generator[A, None, None]:
        """Perform the steps of a flow, and yield what it has for the caller."""
        with closing(_Performer(self._http, self.url, self._sleep, items)) as performer:
            while True:
                try:
                    step = performer.advance()
                except StopIteration:
                    return
                if isinstance(step, Item):
                    yield step.value
                else:
                    performer.perform(step)


class _Performer(Conversation):
    """Does what one flow says. Invariant: at most one answer is open, and none after ``close``."""

    def __init__(self, http: httpx.Client, url: str, sleep: Callable[[float], None], flow: Generator[Any, Any, Any]) -> None:
        super().__init__(flow)
        self._http = http
        self._url = url
        self._sleep = sleep
        self._open: httpx.Response | None = None
        self._blocks: Iterator[bytes] | None = None

    def perform(self, step: Step) -> None:
        """Do what a step says, and tell the flow what came of it."""
        try:
            self.tell(self._do(step))
        except httpx.TransportError as error:
            self.fail(error)

    def close(self) -> None:
        """Give up the flow, and close what is open."""
        self.end()
        self._close_answer()

    def _do(self, step: Step) -> Any:
        match step:
            case Send(call):
                response = self._http.send(build_request(self._http, self._url, call))
                return Answer(response.status_code, response.headers, response.content)
            case Open(call):
                self._close_answer()
                self._open = self._http.send(build_request(self._http, self._url, call), stream=True)
                self._blocks = self._open.iter_bytes()
                return Answer(self._open.status_code, self._open.headers)
            case Read():
                return b"" if self._blocks is None else next(self._blocks, b"")
            case Pause(seconds):
                return self._sleep(seconds)
            case Do(work):
                return work()

    def _close_answer(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = self._blocks = None
