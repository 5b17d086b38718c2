"""Models, their versions and aliases in the durable store.

Written by the registry alone. Every change is one transaction that raises the revision first; what was told of a load is none, as long
as nobody has to act on it.
"""

from dataclasses import replace
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, Row, and_, delete, insert, select, update

from actors.core.errors import AliasMovedError, ModelInUseError, ModelNotFoundError
from actors.registry.records import DeleteVersion, ModelEntry, ModelTable, ModelVersion, NoteLoad, SetAlias
from actors.registry.tables import model_aliases, model_versions, models
from actors.revisions import raise_revision, read_revision
from actors.store import Store

_MODELS = "models"


class RegistryStore(Store):
    """The store, with models. Blocking; every method is one transaction. For one thread at a time.

    Raises:
        StoreUnavailableError: from every method, where the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        #: Versions as they were read last, each with the text that it was read from: most never change.
        self._decoded: dict[tuple[str, int], tuple[str, ModelVersion]] = {}

    def read_models(self) -> ModelTable:
        """All models that have versions."""
        with self._transaction() as connection:
            revision = read_revision(connection, _MODELS)
            rows = connection.execute(select(model_versions).order_by(model_versions.c.name, model_versions.c.version)).all()
            aliases = connection.execute(select(model_aliases).order_by(model_aliases.c.name, model_aliases.c.alias)).all()
        self._decoded = {(row.name, row.version): (row.record, self._decode(row)) for row in rows}
        found: dict[str, tuple[dict[int, ModelVersion], dict[str, int]]] = {}
        for (name, number), (_, version) in self._decoded.items():
            found.setdefault(name, ({}, {}))[0][number] = version
        for row in aliases:
            found[row.name][1][row.alias] = row.version
        return ModelTable(revision, {name: ModelEntry(name, *parts) for name, parts in found.items()})

    def add_version(self, draft: ModelVersion) -> ModelVersion:
        """Keep a version under the next number of its model, whatever number it brings."""
        name = draft.served.name
        with self._transaction() as connection:
            raise_revision(connection, _MODELS)
            number = _next_number(connection, name)
            version = replace(draft, served=replace(draft.served, version=number))
            connection.execute(insert(model_versions).values(name=name, version=number, record=_encode(version)))
        return version

    def set_alias(self, wish: SetAlias) -> None:
        """Let an alias mean a version, if it still means what is expected. Raises ModelNotFoundError, AliasMovedError."""
        here = and_(model_aliases.c.name == wish.name, model_aliases.c.alias == wish.alias)
        with self._transaction() as connection:
            raise_revision(connection, _MODELS)
            _require_version(connection, wish.name, wish.version)
            now = connection.execute(select(model_aliases.c.version).where(here)).scalar_one_or_none()
            if now != wish.expected:
                means = "nothing" if now is None else f"version {now}"
                raise AliasMovedError(wish.name, f"somebody changed {wish.alias} meanwhile: it means {means} now")
            connection.execute(delete(model_aliases).where(here))
            connection.execute(insert(model_aliases).values(name=wish.name, alias=wish.alias, version=wish.version))

    def remove_alias(self, name: str, alias: str) -> None:
        """Let an alias mean nothing. Raises ModelNotFoundError."""
        here = and_(model_aliases.c.name == name, model_aliases.c.alias == alias)
        with self._transaction() as connection:
            raise_revision(connection, _MODELS)
            if connection.execute(delete(model_aliases).where(here)).rowcount == 0:
                raise ModelNotFoundError(name, f"there is no alias {alias!r}")

    def delete(self, wish: DeleteVersion) -> None:
        """Forget a version, or all of a model. Raises ModelNotFoundError, ModelInUseError."""
        with self._transaction() as connection:
            raise_revision(connection, _MODELS)
            _require_version(connection, wish.name, wish.version)
            aliased = and_(model_aliases.c.name == wish.name, _is_version(model_aliases.c.version, wish.version))
            used = connection.execute(select(model_aliases).where(aliased).order_by(model_aliases.c.alias)).first()
            if used is not None:
                remedy = "let the alias mean another version, or remove it first"
                raise ModelInUseError(wish.name, f"the alias {used.alias} means version {used.version}; {remedy}")
            doomed = and_(model_versions.c.name == wish.name, _is_version(model_versions.c.version, wish.version))
            connection.execute(delete(model_versions).where(doomed))

    def note_load(self, note: NoteLoad) -> bool:
        """Keep what was chosen at a load, and what the golden inputs gave where that was not known.

        Returns:
            Whether that is news to those who watch: golden answers, or the first load of the version, which the bare name may mean from
            now on. A version that is gone by now is passed over.
        """
        here = and_(model_versions.c.name == note.name, model_versions.c.version == note.version)
        with self._transaction() as connection:
            row = connection.execute(select(model_versions).where(here)).one_or_none()
            if row is None:
                return False
            known = self._decode(row)
            others = tuple(load for load in known.loads if load.device_kind != note.report.device_kind)
            is_answered = bool(note.golden_expected) and not known.served.golden_expected
            served = replace(known.served, golden_expected=note.golden_expected) if is_answered else known.served
            is_news = is_answered or not known.loads
            if is_news:
                raise_revision(connection, _MODELS)
            record = _encode(replace(known, served=served, loads=(*others, note.report)))
            connection.execute(update(model_versions).where(here).values(record=record))
        return is_news

    def _decode(self, row: Row[Any]) -> ModelVersion:
        text, version = self._decoded.get((row.name, row.version), ("", None))
        return version if version is not None and text == row.record else _adapter().validate_json(row.record)


@cache
def _adapter() -> TypeAdapter[ModelVersion]:
    return TypeAdapter(ModelVersion)


def _encode(version: ModelVersion) -> str:
    """A version as JSON, with NaN among it where a figure is none: cards and reports may hold such."""
    return to_json(version, inf_nan_mode="constants").decode()


def _next_number(connection: Connection, name: str) -> int:
    here = models.c.name == name
    if connection.execute(update(models).where(here).values(last_version=models.c.last_version + 1)).rowcount == 0:
        connection.execute(insert(models).values(name=name, last_version=1))
    return int(connection.execute(select(models.c.last_version).where(here)).scalar_one())


def _require_version(connection: Connection, name: str, version: int | None) -> None:
    """Insist on a version, or with None on any of the model's. Raises ModelNotFoundError."""
    ordered = select(model_versions.c.version).where(model_versions.c.name == name).order_by(model_versions.c.version)
    numbers = connection.execute(ordered).scalars().all()
    if not numbers:
        raise ModelNotFoundError(name, "there is no such model")
    if version is not None and version not in numbers:
        raise ModelNotFoundError(name, f"there is no version {version}; the newest is {numbers[-1]}")


def _is_version(column: Any, version: int | None) -> ColumnElement[bool]:
    """The condition that a row is of this version; with None of any."""
    is_it: ColumnElement[bool] = column.isnot(None) if version is None else column == version
    return is_it
