"""The model registry and the predictor, in memory: what the routes' ports do, with no store, no network and no process."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from actors.core.errors import ActorSystemError, AliasMovedError, ModelInUseError, ModelNotFoundError
from actors.learning.model_card import ModelCard
from actors.learning.prediction_files import Prediction
from actors.online.orders import (
    Content,
    PredictAnswer,
    PredictOrder,
    PrepareOrder,
    PrepareReport,
    SpectrogramPicture,
    TensorAnswer,
    TensorOrder,
    Timing,
)
from actors.registry.records import (
    Lineage,
    LoadReport,
    ModelEntry,
    ModelTable,
    ModelVersion,
    Precision,
    RegisterModel,
    ServedVersion,
    SetAlias,
)
from serve_app.ports import NotReadyError
from tests.fakes import START

CLASSES = ("AVATA", "FLIGHT", "MINI")


def make_served(name: str = "drones", version: int = 1, **parts: object) -> ServedVersion:
    """What replicas need of a version; nothing lies behind its paths."""
    fields: dict[str, object] = {
        "weights_path": f"/state/models/{name}-{version}.pth",
        "weights_sha256": "0" * 64,
        "architecture": "resnet18",
        "class_names": CLASSES,
        "image_size": 32,
    }
    return ServedVersion(name, version, **(fields | parts))  # type: ignore[arg-type]


def make_version(name: str = "drones", version: int = 1, **parts: object) -> ModelVersion:
    """One registered version."""
    served = make_served(name, version, **parts)
    card = ModelCard(
        architecture="resnet18", classes=list(CLASSES), num_classes=3, image_size=32, metrics={"val_acc": 90.0 + version}
    )
    return ModelVersion(served, START + version, 45_000_000, card, Lineage(task_id=f"task-{version}"))


class FakeModels:
    """``ModelsPort`` over a dictionary."""

    def __init__(self) -> None:
        self.table = ModelTable(0, {})
        self.wishes: list[RegisterModel] = []
        #: Raised by the next registration.
        self.refusal: ActorSystemError | None = None
        self.is_ready = True
        self._change = asyncio.Condition()

    async def watch(self, revision: int, wait_s: float) -> ModelTable:
        self._check_ready()
        if wait_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s), self._change:
                    await self._change.wait_for(lambda: self.table.revision != revision)
        return self.table

    async def register(self, wish: RegisterModel) -> ModelVersion:
        self._check_ready()
        self.wishes.append(wish)
        if self.refusal is not None:
            raise self.refusal
        known = self.table.models.get(wish.name)
        new = make_version(wish.name, max(known.versions, default=0) + 1 if known else 1)
        new = replace(
            new, served=replace(new.served, unknown_below=wish.unknown_below, wish=wish.wish), description=wish.description
        )
        await self.put(new)
        return new

    async def set_alias(self, wish: SetAlias) -> ModelTable:
        self._check_ready()
        entry = self._entry(wish.name)
        if wish.version not in entry.versions:
            raise ModelNotFoundError(wish.name, f"there is no version {wish.version}")
        if entry.aliases.get(wish.alias) != wish.expected:
            raise AliasMovedError(wish.name, f"{wish.alias} means version {entry.aliases.get(wish.alias)} now")
        return await self._replace(replace(entry, aliases={**entry.aliases, wish.alias: wish.version}))

    async def remove_alias(self, name: str, alias: str) -> ModelTable:
        self._check_ready()
        entry = self._entry(name)
        if alias not in entry.aliases:
            raise ModelNotFoundError(name, f"there is no alias {alias!r}")
        return await self._replace(replace(entry, aliases={key: value for key, value in entry.aliases.items() if key != alias}))

    async def delete(self, name: str, version: int | None) -> ModelTable:
        self._check_ready()
        entry = self._entry(name)
        doomed = set(entry.versions) if version is None else {version}
        if not doomed <= set(entry.versions):
            raise ModelNotFoundError(name, f"there is no version {version}")
        used = sorted(alias for alias, number in entry.aliases.items() if number in doomed)
        if used:
            raise ModelInUseError(name, f"it is {used[0]}")
        return await self._replace(
            replace(entry, versions={number: each for number, each in entry.versions.items() if number not in doomed})
        )

    async def put(self, *versions: ModelVersion, aliases: dict[str, int] | None = None) -> None:
        """Add versions and aliases, as others may at any time."""
        for each in versions:
            name = each.served.name
            known = self.table.models.get(name, ModelEntry(name, {}, {}))
            entry = ModelEntry(name, {**known.versions, each.served.version: each}, {**known.aliases, **(aliases or {})})
            await self._replace(entry)

    def _entry(self, name: str) -> ModelEntry:
        if name not in self.table.models:
            raise ModelNotFoundError(name, "there is no such model")
        return self.table.models[name]

    async def _replace(self, entry: ModelEntry) -> ModelTable:
        models = {**self.table.models, entry.name: entry}
        if not entry.versions:
            del models[entry.name]
        async with self._change:
            self.table = ModelTable(self.table.revision + 1, models)
            self._change.notify_all()
        return self.table

    def _check_ready(self) -> None:
        if not self.is_ready:
            raise NotReadyError("registry")


class FakePredictor:
    """``PredictorPort`` that calls everything the version's first class, and remembers what it was asked."""

    def __init__(self) -> None:
        self.orders: list[PredictOrder | TensorOrder] = []
        self.prepared: list[PrepareOrder] = []
        self.freed: list[tuple[str, int]] = []
        #: Raised by every prediction.
        self.error: Exception | None = None
        #: Predictions wait for it.
        self.gate = asyncio.Event()
        self.gate.set()
        #: Orders whose callers went away.
        self.cancelled: list[PredictOrder | TensorOrder] = []
        #: What the replicas report, by the state of a preparation.
        self.states: dict[str, str] = {"replica-1": "ready"}

    async def predict(self, order: PredictOrder) -> PredictAnswer:
        await self._begin(order)
        rows = tuple(self._row(order, each) for each in order.contents)
        timing = Timing(0.001, 0.002, 0.003, (1,))
        pictures = tuple(
            SpectrogramPicture(each.file, b"PNG of " + each.file.encode(), 1200, 224, 0.5, None, 1e6)
            for each in order.contents
            if order.spectrogram and each.kind == "recording"
        )
        served = order.model
        return PredictAnswer(
            served.name, served.version, "cpu:0", Precision.FLOAT32, "replica-1", rows, timing, spectrograms=pictures
        )

    async def infer(self, order: TensorOrder) -> TensorAnswer:
        await self._begin(order)
        answer = np.zeros((len(order.inputs), len(order.model.class_names)), np.float32)
        answer[:, 0] = 1.0
        return TensorAnswer(order.model.name, order.model.version, answer, Timing(0.001, 0.0, 0.003, (len(order.inputs),)))

    async def prepare(self, order: PrepareOrder) -> Sequence[PrepareReport]:
        self.prepared.append(order)
        if not self.states:
            raise NotReadyError("predictor")
        return [self._report(replica_id, state, order) for replica_id, state in self.states.items()]

    async def free(self, name: str, version: int) -> None:
        self.freed.append((name, version))

    async def _begin(self, order: PredictOrder | TensorOrder) -> None:
        self.orders.append(order)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(order)
            raise
        if self.error is not None:
            raise self.error

    def _report(self, replica_id: str, state: str, order: PrepareOrder) -> PrepareReport:
        if order.only_replica not in ("", replica_id):
            return PrepareReport(replica_id, "passed_over")
        if state == "no_room" and order.instead_of is not None and order.only_replica == replica_id:
            state = "ready"
        load = LoadReport("cpu", Precision.FLOAT32, True, "the processor has no bfloat16", 0.0, 1.0, 45_000_000, START)
        return PrepareReport(replica_id, state, "" if state == "ready" else f"it is {state}", load if state == "ready" else None)  # type: ignore[arg-type]

    @staticmethod
    def _row(order: PredictOrder, content: Content) -> Prediction:
        best = order.model.class_names[0]
        segment = 0 if content.kind == "recording" else None
        return Prediction(content.file, best, 100.0, ((best, 100.0),)[: order.top_k], segment)
