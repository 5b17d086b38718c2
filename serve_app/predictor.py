"""One replica of the predictor: a process on its part of a device, with the engine that computes.

Owns how such a process begins (which device it is on, what it may take of it, which versions it loads before it counts as ready) and
what it tells of itself: to the accountant where it is and what it holds, to the registry what was chosen for a version. Knows nothing
of HTTP; Serve's options are in ``deployment``. torch comes with the engine, once the process is fit for its device.
"""

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

import ray
from ray import serve

from actors.core.model import GIB, Device, DeviceKind
from actors.core.units import UNITS_PER_DEVICE
from actors.messages import ReplicaReport
from actors.names import ACCOUNTANT, SUPERVISOR
from actors.online.orders import PredictAnswer, PredictOrder, PrepareOrder, PrepareReport, TensorAnswer, TensorOrder
from actors.presence import own_presence
from actors.registry.records import ModelTable, NoteLoad, Precision, ServedVersion, WatchModels
from actors.workers.gpu_memory import GpuMemory
from actors.workers.process import (
    blank_gpus_for_cpu_work,
    choose_thread_count,
    keep_freed_memory,
    set_thread_count,
    torch_device,
)
from configs.settings import Settings
from serve_app.named_actor import NamedActor
from serve_app.ports import NotReadyError

if TYPE_CHECKING:
    from actors.online.engine import OnlineEngine

#: How often a replica speaks to the accountant; five silent times, and it is taken for hanging.
REPORT_EVERY_S: Final = 2.0
#: How long the accountant may take to know the device of a new node.
_DEVICE_DEADLINE_S: Final = 60.0
_DEVICE_PAUSE_S: Final = 0.5
#: What the models of one replica may take of main memory, unless the settings say otherwise.
_MEMORY_ON_CPU: Final = 2 * GIB


class Predictor:
    """The replica.

    Invariant: whoever can call a replica finds it placed: its device is known, its memory capped, and every version that an alias
    meant at its beginning was tried. A version that could not be loaded then is tried again when somebody asks for it.
    """

    async def __init__(self, settings: Settings, replica_units: int) -> None:  # type: ignore[misc]  # Serve awaits it
        """Begin to serve on the device that Ray has put this process on.

        Args:
            settings: of the service.
            replica_units: the part of the device that this replica has.
        """
        self._replica_id = serve.get_replica_context().replica_id.unique_id
        self._accountant, self._supervisor = NamedActor(ACCOUNTANT), NamedActor(SUPERVISOR)
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._notes: set[asyncio.Task[None]] = set()
        self._ongoing = 0
        self._memory = GpuMemory()
        self._budget_bytes = 0
        self._is_ready = False
        self._engine: OnlineEngine | None = None
        device = await self._find_device()
        self._budget_bytes = choose_budget(settings, device, replica_units)
        # From now on it speaks, however long the rest takes.
        self._reporting = asyncio.create_task(self._keep_reporting())
        engine = await asyncio.to_thread(self._make_engine, settings, device)
        engine.place(device.device_id, simulated=device.simulated)
        self._engine = engine
        await self._load_aliased()
        self._is_ready = True
        self._news.set()

    async def predict(self, order: PredictOrder) -> PredictAnswer:
        """See PredictorPort."""
        with self._counted():
            return await self._ready.predict(order)

    async def infer(self, order: TensorOrder) -> TensorAnswer:
        """See PredictorPort."""
        with self._counted():
            return await self._ready.infer(order)

    async def prepare(self, order: PrepareOrder) -> PrepareReport:
        """See PredictorPort; the report of this replica."""
        report = await self._ready.prepare(order)
        self._news.set()
        return report

    async def free(self, name: str, version: int) -> None:
        """See PredictorPort."""
        await self._ready.free(name, version)
        self._news.set()

    async def check_health(self) -> None:
        """Serve asks this every second. Raises RuntimeError where the replica does not speak for itself any more, or cannot answer."""
        if self._reporting.done():
            raise RuntimeError(f"replica {self._replica_id} does not report any more")
        self._ready.check_health()

    @property
    def _ready(self) -> "OnlineEngine":
        return cast("OnlineEngine", self._engine)

    # --- the beginning ---

    async def _find_device(self) -> Device:
        """Learn from the accountant which device Ray's books mean.

        Raises:
            RuntimeError: it does not know the device either.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_DEVICE_DEADLINE_S):
                while True:
                    # An accountant that begins anew right now is back within the deadline.
                    with suppress(NotReadyError):
                        if (device := await self._report()) is not None:
                            return device
                    await asyncio.sleep(_DEVICE_PAUSE_S)
        raise RuntimeError(f"the accountant does not know the device of replica {self._replica_id}")

    def _make_engine(self, settings: Settings, device: Device) -> "OnlineEngine":
        """Make the process fit for its device, and only then import what computes. Runs in a thread: it takes seconds."""
        threads = settings.torch_threads or choose_thread_count(device)
        blank_gpus_for_cpu_work(device)
        set_thread_count(threads)
        keep_freed_memory()
        from actors.online.engine import EngineOptions, OnlineEngine  # noqa: PLC0415 - brings torch

        if torch_device(device) != "cpu":
            _say(self._memory.cap(self._budget_bytes, gpu_index=device.index))
        options = EngineOptions(
            device=torch_device(device),
            threads=threads,
            budget_bytes=self._budget_bytes - self._memory.context_bytes,
            max_batch=settings.serving_max_batch,
            batch_wait_s=settings.serving_batch_wait_ms / 1000,
            max_frames=settings.max_predict_frames,
            precision=Precision(settings.serving_precision),
            optimise=settings.serving_optimise,
        )
        return OnlineEngine(options, replica_id=self._replica_id, on_load=self._note_load)

    async def _load_aliased(self) -> None:
        """Load what the aliases mean now, so that the first request does not wait for it."""
        try:
            table = cast("ModelTable", await self._supervisor.ask("ask_registry", WatchModels()))
            for version in aliased_versions(table):  # the last one is the last to be evicted again
                report = await self._ready.prepare(PrepareOrder(version))
                if report.state != "ready":
                    _say(f"{version.name}@{version.version} is not loaded: {report.state}, {report.reason}")
        except Exception:  # noqa: BLE001 - whatever it is, a replica without models can load them when they are asked for
            traceback.print_exc()

    # --- what it tells ---

    async def _keep_reporting(self) -> None:
        while True:
            # While the accountant is away, nobody misses a report.
            with suppress(NotReadyError):
                await self._report()
            with suppress(TimeoutError):
                async with asyncio.timeout(REPORT_EVERY_S):
                    await self._news.wait()
            self._news.clear()

    async def _report(self) -> Device | None:
        """Tell the accountant where this replica is and what it holds; returns its device once that is known."""
        return cast("Device | None", await self._accountant.ask("report_replica", self._describe()))

    def _describe(self) -> ReplicaReport:
        context = ray.get_runtime_context()
        gpus = context.get_accelerator_ids().get("GPU", [])
        engine = self._engine
        held_bytes = self._memory.held_bytes() or (engine.memory_bytes() if engine else 0)
        return ReplicaReport(
            replica_id=self._replica_id,
            node_id=context.get_node_id(),
            kind=DeviceKind.GPU if gpus else DeviceKind.CPU,
            gpu_index=int(gpus[0]) if gpus else 0,
            presence=own_presence(),
            memory_bytes=held_bytes,
            budget_bytes=self._budget_bytes,
            models=engine.loaded() if engine else (),
            ongoing=self._ongoing,
            is_ready=self._is_ready,
        )

    def _note_load(self, note: NoteLoad) -> None:
        """Take the engine's word that a version was loaded, from any thread, and let the registry and the accountant know."""
        self._loop.call_soon_threadsafe(self._begin_note, note)

    def _begin_note(self, note: NoteLoad) -> None:
        self._news.set()
        task = self._loop.create_task(_without_noise(self._supervisor.ask("ask_registry", note)))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._ongoing += 1
        try:
            yield
        finally:
            self._ongoing -= 1


def choose_budget(settings: Settings, device: Device, replica_units: int) -> int:
    """The bytes that a replica may take: what the settings say, else its part of the GPU, or a fixed amount of main memory."""
    if settings.serving_memory_gb:
        return round(settings.serving_memory_gb * GIB)
    if device.kind is DeviceKind.CPU:
        return _MEMORY_ON_CPU
    return device.memory_bytes * replica_units // UNITS_PER_DEVICE


def aliased_versions(table: ModelTable) -> list[ServedVersion]:
    """Every version that an alias means, once, what the bare names mean last."""
    meant = {
        (entry.name, number): number == entry.default_version
        for entry in table.models.values()
        for number in entry.aliases.values()
        if number in entry.versions
    }
    return [table.models[name].versions[number].served for name, number in sorted(meant, key=lambda key: (meant[key], key))]


async def _without_noise(note: Awaitable[object]) -> None:
    """Wait for what nobody waits for; that it failed stands in the replica's log."""
    try:
        await note
    except Exception as error:  # noqa: BLE001 - a note is only for views
        _say(f"the registry did not take a note: {error}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - the replica's own log
