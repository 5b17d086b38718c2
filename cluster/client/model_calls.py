"""The model registry and online prediction. Each function is a method of both clients; its docstring is theirs."""

from collections.abc import Iterable
from dataclasses import replace
from os import fspath
from pathlib import Path, PurePath
from typing import Any, Final

from pydantic import ValidationError

from actors.signals.file_names import RECORDING_ENDINGS
from cluster.client import contract
from cluster.client.bodies import BINARY, Piece, Streamed, guess_media_type, one_file, several_files
from cluster.client.operation import Call, Query, describe_invalid
from cluster.service_errors import InvalidRequestError
from serve_app.schemas.models import (
    ComparisonResponse,
    DeletedModelResponse,
    ModelListResponse,
    ModelResponse,
    ModelVersionResponse,
    RegisterRequest,
)
from serve_app.schemas.predict import PredictQuery, PredictResponse

#: A file on this machine, the content of one, or a content with the name that it is told by.
Source = str | PurePath | bytes | tuple[str, bytes]
#: How much longer than its deadline the answer to a prediction may take to arrive.
_GRACE_S: Final = 5.0
#: A version is loaded and checked by every replica before the answer.
_LOADING_S: Final = 300.0
#: A long recording on a busy processor.
_PREDICTION_S: Final = 300.0


def models() -> Call[ModelListResponse]:
    """All models with their versions and aliases."""
    return contract.MODELS.call()


def model(name: str) -> Call[ModelResponse]:
    """One model with its versions and aliases."""
    return contract.MODEL.call(name=name)


def version(name: str, number_or_alias: int | str) -> Call[ModelVersionResponse]:
    """One version of a model, by its number or an alias."""
    return contract.VERSION.call(name=name, version=number_or_alias)


def register(request: RegisterRequest | dict[str, Any] | None = None, /, **fields: Any) -> Call[ModelVersionResponse]:
    """Keep a new version of a model: of the training ``task_id``, or of ``weight_path`` and ``cfg_path``. With ``alias``, promote it.

    Repeated only where nothing reached the service: else there might be two versions.
    """
    return replace(contract.REGISTER.send(request, fields), timeout_s=_LOADING_S)


def promote(name: str, alias: str, version: int) -> Call[ModelResponse]:
    """Let an alias mean a version, once all replicas are ready for it. An earlier version rolls back."""
    return replace(contract.PROMOTE.send({"version": version}, {}, name=name, alias=alias), timeout_s=_LOADING_S)


def remove_alias(name: str, alias: str) -> Call[ModelResponse]:
    """Let an alias mean nothing; its version stays. Repeated only where nothing reached the service."""
    return contract.REMOVE_ALIAS.call(name=name, alias=alias)


def delete_model(name: str) -> Call[DeletedModelResponse]:
    """Forget a model with all its versions; refused while it has aliases. Repeated only where nothing reached the service."""
    return contract.DELETE_MODEL.call(name=name)


def delete_version(name: str, number_or_alias: int | str) -> Call[DeletedModelResponse]:
    """Forget a version; refused while an alias means it. Repeated only where nothing reached the service."""
    return contract.DELETE_VERSION.call(name=name, version=number_or_alias)


def compare(*, models: Iterable[str] = (), tasks: Iterable[str] = ()) -> Call[ComparisonResponse]:
    """Versions (NAME, NAME@VERSION or NAME@ALIAS) and trainings (task ids) side by side: parameters, metrics and curves."""
    return contract.COMPARE.call(query={"model": list(models), "task": list(tasks)})


def predict(  # noqa: PLR0913 - they are the query of the route
    *sources: Source,
    model: str = "",
    top_k: int | None = None,
    format: str | None = None,  # noqa: A002 - SigMF's name, and the contract's
    sample_rate: float | None = None,
    center_frequency: float | None = None,
    deadline_s: float | None = None,
    spectrogram: bool = False,
) -> Call[PredictResponse]:
    """Predict what pictures or recordings show, at once.

    Args:
        sources: files on this machine, or their contents as bytes, alone or as ``(name, content)``. A SigMF pair is two sources. Bytes
            without a name are a PNG, a JPEG or a WAV where they begin like one, and else samples without a header.
        model: NAME, NAME@VERSION or NAME@ALIAS; may be left out where one model is registered.
        top_k: most classes told of each picture, frame and recording.
        format: SigMF datatype of samples without a header, such as ``cf32_le``.
        sample_rate: in Hz, of recordings that do not tell it.
        center_frequency: in Hz, of recordings that do not tell it.
        deadline_s: after which the answer is of no use; the service drops what is later. Counts anew where the call is repeated, which
            begins within this time too.
        spectrogram: whether the answer holds a picture of each recording.

    Raises:
        InvalidRequestError: there is no such file, or a field is wrong; nothing was sent.
        ApiError: the service refuses; ``deadline_exceeded`` where it was too late.
    """
    given = {
        "model": model or None,
        "top_k": top_k,
        "format": format,
        "sample_rate": sample_rate,
        "center_frequency": center_frequency,
    }
    query = dict(_check_query(given)) | ({"spectrogram": True} if spectrogram else {})
    body = _body(sources)
    call = contract.PREDICT.call(query=query, body=body)
    if deadline_s is None:
        return replace(call, timeout_s=_PREDICTION_S)
    headers = {**call.headers, "X-Request-Timeout": f"{deadline_s:g}"}
    return replace(call, headers=headers, timeout_s=deadline_s + _GRACE_S, patience_s=deadline_s)


def _check_query(given: dict[str, Any]) -> Query:
    """The query as the service wants it. Raises InvalidRequestError."""
    try:
        query = PredictQuery.model_validate({name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidRequestError(describe_invalid(error)) from None
    return query.model_dump(mode="json", exclude_unset=True, by_alias=True)


def _body(sources: tuple[Source, ...]) -> Streamed:
    """One source that tells by itself what it is, or several with their names. Raises InvalidRequestError."""
    if not sources:
        raise InvalidRequestError("name at least one picture or recording to predict")
    named = [_named(source) for source in sources]
    if len(named) > 1 or _tells_by_name(named[0][0]):
        return several_files([(name or f"{number}.{_ending(piece)}", piece) for number, (name, piece) in enumerate(named)])
    return one_file(named[0][1])


def _named(source: Source) -> tuple[str, Piece]:
    """A source's name, "" where it has none, and its content."""
    if isinstance(source, tuple):
        return source
    if isinstance(source, bytes):
        return "", source
    path = Path(fspath(source))
    return path.name, path


def _tells_by_name(name: str) -> bool:
    """Whether a name's ending tells the service what is in the file."""
    ending = PurePath(name).suffix.lower()
    return ending in RECORDING_ENDINGS or guess_media_type(Path(name)) != BINARY


def _ending(piece: Piece) -> str:
    """An ending for content without a name."""
    kind = guess_media_type(piece)
    return "iq" if kind == BINARY else kind.partition("/")[2]
