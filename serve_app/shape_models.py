"""Models and their comparison in the words of the HTTP contract. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from actors.core.tasks import Task
from actors.registry.records import LoadReport, ModelEntry, ModelVersion, Precision, ServingWish
from serve_app.schemas.models import (
    ComparedBody,
    ComparisonResponse,
    Figure,
    LineageBody,
    LoadBody,
    ModelCardBody,
    ModelResponse,
    ModelVersionResponse,
    ServingBody,
)
from serve_app.shape import timestamp

Columns = Mapping[str, Sequence[Figure]]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a version or a training brings to a comparison."""

    head: ComparedBody
    parameters: Mapping[str, Any]
    metrics: Mapping[str, Figure]
    curves: Columns


def model_response(entry: ModelEntry) -> ModelResponse:
    """One model with all its versions."""
    return ModelResponse(
        name=entry.name,
        default_version=entry.default_version,
        aliases=dict(sorted(entry.aliases.items())),
        versions=[version_response(entry, number) for number in sorted(entry.versions)],
    )


def version_response(entry: ModelEntry, number: int, *more_warnings: str) -> ModelVersionResponse:
    """One version of a model."""
    version = entry.versions[number]
    lineage = version.lineage
    return ModelVersionResponse(
        name=entry.name,
        version=number,
        aliases=list(entry.aliases_of(number)),
        description=version.description,
        created_at=timestamp(version.created_at),
        size_bytes=version.size_bytes,
        sha256=version.served.weights_sha256,
        metrics=dict(version.card.metrics),
        lineage=LineageBody(
            task_id=lineage.task_id,
            dataset_hash=dict(lineage.dataset_hash),
            parent_weights=lineage.parent_weights,
            parameters=dict(lineage.parameters),
        ),
        model_card=_card_body(version),
        warnings=[*version.warnings, *(each for each in more_warnings if each)],
    )


def compared_version(version: ModelVersion) -> Compared:
    """A version as a column of a comparison."""
    served = version.served
    head = ComparedBody(
        kind="model",
        id=f"{served.name}@{served.version}",
        created_at=timestamp(version.created_at),
        description=version.description,
    )
    return Compared(head, version.lineage.parameters, version.card.metrics, version.lineage.curves)


def compared_training(task: Task, curves: Columns) -> Compared:
    """A training as a column of a comparison."""
    head = ComparedBody(
        kind="training",
        id=task.task_id,
        status=task.state,
        created_at=timestamp(task.submitted_at),
        description=task.request.get("description") or "",
    )
    return Compared(head, task.request, task.progress.metrics or {}, curves)


def comparison_response(compared: Sequence[Compared]) -> ComparisonResponse:
    """Put columns side by side; curves are filled up with null to the longest."""
    parameters = {name: [each.parameters.get(name) for each in compared] for name in _names(each.parameters for each in compared)}
    epochs = max((len(curve) for each in compared for curve in each.curves.values()), default=0)
    return ComparisonResponse(
        columns=[each.head for each in compared],
        parameters=parameters,
        differing=[name for name, values in parameters.items() if any(value != values[0] for value in values)],
        metrics={name: [each.metrics.get(name) for each in compared] for name in _names(each.metrics for each in compared)},
        epochs=list(range(1, epochs + 1)),
        curves={
            name: [_filled_up(each.curves.get(name, ()), epochs) for each in compared]
            for name in _names(each.curves for each in compared)
            if name != "epoch"
        },
    )


def _card_body(version: ModelVersion) -> ModelCardBody:
    """The card, with what is served beside what was measured."""
    served = version.served
    serving = ServingBody(
        precision=served.wish.precision,
        optimise=served.wish.optimise,
        forced=served.wish != ServingWish(),
        chosen={load.device_kind: _load_body(load) for load in version.loads},
    )
    told = asdict(version.card) | {"unknown_below": served.unknown_below, "recipe": served.recipe}
    return ModelCardBody(**told, serving=serving)


def _load_body(load: LoadReport) -> LoadBody:
    return LoadBody(
        precision=Precision(load.precision),
        optimised=load.optimised,
        reason=load.reason,
        largest_difference=load.largest_difference,
        load_s=load.load_s,
        memory_bytes=load.memory_bytes,
        at=timestamp(load.at),
    )


def _names(tables: Iterable[Mapping[str, Any]]) -> list[str]:
    """The names of all tables, in the order in which they first come."""
    return list(dict.fromkeys(name for table in tables for name in table))


def _filled_up(curve: Sequence[Figure], length: int) -> list[Figure]:
    return [*curve, *[None] * (length - len(curve))]
