"""The registry's models as this process knows them, and the reading of a model's name in a request.

Owns what NAME, NAME@VERSION and NAME@ALIAS mean at this moment. While the registry is away, the last table goes on serving; it knows
nothing of replicas.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import ClassVar, Final, NamedTuple

from fastapi.exceptions import RequestValidationError

from actors.core.errors import ModelNotFoundError, StoreUnavailableError
from actors.registry.records import PRODUCTION, ModelEntry, ModelReference, ModelTable, ModelVersion, parse_reference
from serve_app.followed import FollowedTable
from serve_app.ports import ModelsPort, NotReadyError

#: How long a request waits for the models of a process that has just begun.
WAIT_S: Final = 3.0
#: Names that an error lists at most.
_MOST_NAMED: Final = 10
_MOST_ECHOED: Final = 200


class ResolvedModel(NamedTuple):
    """What a request's model is: the version, and the alias that led to it; "" where the version was named, or is just the default."""

    version: ModelVersion
    alias: str


class FollowedModels(FollowedTable[ModelTable]):
    """The newest table of models."""

    keeper: ClassVar[str] = "registry"

    def __init__(self, port: ModelsPort) -> None:
        super().__init__()
        self._port = port

    async def watch(self, revision: int, wait_s: float) -> ModelTable:
        """See FollowedTable."""
        return await self._port.watch(revision, wait_s)

    def revision_of(self, table: ModelTable) -> int:
        """See FollowedTable."""
        return table.revision

    async def table(self) -> ModelTable:
        """All models. Raises NotReadyError where none were ever read."""
        return self.current or await self.wait(WAIT_S)

    async def resolve(self, text: str, *, loc: Sequence[str] = ("query", "model")) -> ResolvedModel:
        """Find the version that a request names.

        Args:
            text: NAME, NAME@VERSION or NAME@ALIAS.
            loc: where in the request it stands, for the error.

        Raises:
            RequestValidationError: it is none of them.
            ModelNotFoundError: there is none; it says what there is.
            NotReadyError: the models are not known yet.
        """
        reference = parse_reference(text)
        if reference is None:
            raise malformed_reference(text, loc)
        return find_version(await self.table(), reference)

    async def learn_at_once(self) -> None:
        """Take in a change that was just made. It is made, whatever comes of this: the long poll brings it too."""
        with suppress(NotReadyError, StoreUnavailableError):
            await self.refresh()


def find_entry(table: ModelTable, name: str) -> ModelEntry:
    """The model of this name. Raises ModelNotFoundError, which says what there is."""
    entry = table.models.get(name)
    if entry is None:
        raise ModelNotFoundError(name[:_MOST_ECHOED], f"there is no such model; {_list('models', sorted(table.models))}")
    return entry


def find_version(table: ModelTable, reference: ModelReference) -> ResolvedModel:
    """The version that a reference means in this table. Raises ModelNotFoundError, which says what there is."""
    entry = find_entry(table, reference.name)
    if not reference.wanted:
        alias = PRODUCTION if PRODUCTION in entry.aliases else ""
        number = entry.default_version
    else:
        alias = reference.wanted if reference.wanted in entry.aliases else ""
        number = entry.aliases[alias] if alias else _number_in(reference.wanted)
    return ResolvedModel(require_version(entry, number, reference.wanted), alias)


def require_version(entry: ModelEntry, number: int | None, wanted: str = "") -> ModelVersion:
    """The version of this number. Raises ModelNotFoundError, which says what there is instead of what was wanted."""
    version = entry.versions.get(number) if number is not None else None
    if version is None:
        there_is = f"{_list('versions', map(str, sorted(entry.versions)))}; {_list('aliases', sorted(entry.aliases))}"
        reason = f"there is no version or alias {wanted[:_MOST_ECHOED] or number}; {there_is}"
        raise ModelNotFoundError(entry.name, reason)
    return version


def malformed_reference(text: str, loc: Sequence[str]) -> RequestValidationError:
    """The error of a text that can name no model."""
    message = "write NAME, NAME@VERSION or NAME@ALIAS, of letters, digits, dots, hyphens and underscores"
    return RequestValidationError([{"type": "invalid_model", "loc": tuple(loc), "msg": message, "input": text}])


def _number_in(text: str) -> int | None:
    """The version that is written as 3 or v3; None for other words. Digits of no plain kind, and absurdly many, are words too."""
    digits = text.removeprefix("v")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= 18 else None


def _list(what: str, names: Iterable[str]) -> str:
    """What there is, as part of a sentence."""
    known = list(names)
    if not known:
        return f"there are no {what}"
    shown = ", ".join(known[:_MOST_NAMED])
    return f"{what}: {shown}" + (f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else "")
