"""The kinds of fields that several request bodies share, each with one clear sentence for what it refuses.

Owns what a task id, a device, a path or a plain name may look like. It must not touch the file system: whether a path exists, and
whether it lies inside a data root, is the supervisor's to say.
"""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from actors.core.errors import InvalidSelectorError
from actors.core.model import parse_selector
from actors.registry.records import parse_reference

#: A model's name, an @ and an alias's.
MOST_REFERENCE_LENGTH = 129
TASK_ID_PATTERN = r"^[A-Za-z0-9._-]{1,128}$"
#: As ``parse_selector`` reads it; here for the OpenAPI document.
DEVICE_PATTERN = r"^(cpu|cuda)(:\d{1,4})?$"
MOST_PATH_LENGTH = 4096
_TASK_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestModel(BaseModel):
    """Base of request bodies: frozen, finite numbers only, and no field that we do not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ResponseModel(BaseModel):
    """Base of answers: frozen, and exactly the fields of the contract."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_task_id(text: str) -> bool:
    """Whether a task could have this id; names of dots only would be folders above."""
    return _TASK_ID.fullmatch(text) is not None and text.strip(".") != ""


def _check_task_id(text: str) -> str:
    if not is_task_id(text):
        raise ValueError("a task id has 1 to 128 letters, digits, dots, hyphens or underscores, and is not dots alone")
    return text


def _check_device(text: str) -> str:
    try:
        parse_selector(text)
    except InvalidSelectorError as error:
        raise ValueError(str(error)) from None
    return text


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("must not contain half a character (a lone surrogate)") from None
    return text


def _check_reference(text: str) -> str:
    if parse_reference(text) is None:
        raise ValueError("write NAME, NAME@VERSION or NAME@ALIAS, of letters, digits, dots, hyphens and underscores")
    return text


def _check_plain_name(text: str) -> str:
    if text in (".", "..") or any(mark in text for mark in "/\\") or not text.isprintable() or not text.strip():
        raise ValueError("a name is one folder: no slashes, no control characters, not blank, not '.' or '..'")
    if len(text.encode()) > 255:
        raise ValueError("a name may take 255 bytes")
    return text


def _none_if_empty(value: Any) -> Any:
    return None if value == "" else value


def _empty_if_none(value: Any) -> Any:
    return "" if value is None else value


#: Clients of the origin send "" or null for what they leave open.
EmptyMeansNone = BeforeValidator(_none_if_empty)
TaskId = Annotated[str, AfterValidator(_check_task_id), Field(json_schema_extra={"pattern": TASK_ID_PATTERN})]
DeviceName = Annotated[
    str, StringConstraints(max_length=32), AfterValidator(_check_device), Field(json_schema_extra={"pattern": DEVICE_PATTERN})
]
ModelReferenceText = Annotated[str, StringConstraints(max_length=MOST_REFERENCE_LENGTH), AfterValidator(_check_reference)]
PathText = Annotated[str, StringConstraints(min_length=1, max_length=MOST_PATH_LENGTH), AfterValidator(_check_text)]
OpenPathText = Annotated[
    str, BeforeValidator(_empty_if_none), StringConstraints(max_length=MOST_PATH_LENGTH), AfterValidator(_check_text)
]
PlainName = Annotated[str, StringConstraints(max_length=255), AfterValidator(_check_plain_name)]
Description = Annotated[str, BeforeValidator(_empty_if_none), StringConstraints(max_length=2000), AfterValidator(_check_text)]
Priority = Annotated[int, Field(ge=1, le=10, description="1 is the most urgent, 10 the least")]
#: Times in answers are text already: ISO 8601 with offset.
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
