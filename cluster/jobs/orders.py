"""From a job's YAML file to the request that HTTP would take, checked by the very same schemas.

Owns the reading of the files and the words for what is wrong in them. Knows nothing of Ray, and submits nothing.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from pydantic import BaseModel, ValidationError

from actors.core.tasks import Submission
from configs.settings import Settings
from serve_app.schemas.evaluate import EvaluationRequest
from serve_app.schemas.fields import is_task_id
from serve_app.schemas.inference import InferenceRequest
from serve_app.schemas.training import TrainingRequest
from serve_app.submissions import evaluation_submission, inference_submission, training_submission

TASK_ID: Final = "task_id"
#: Of a task id made of a job's; leaves room for what a sweep adds.
_LONGEST_STEM: Final = 100
_MOST_ECHOED: Final = 80


class JobFileError(ValueError):
    """A job's file that cannot be used; the text names the file, the key and the remedy."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """One kind of job: the schema of its request, and what makes a submission of it."""

    schema: type[BaseModel]
    build: Callable[[Any, Settings], Submission]


KINDS: Final[Mapping[str, JobKind]] = MappingProxyType(
    {
        "train": JobKind(TrainingRequest, training_submission),
        "infer": JobKind(InferenceRequest, inference_submission),
        "evaluate": JobKind(EvaluationRequest, evaluation_submission),
    }
)


@dataclass(frozen=True, slots=True)
class JobFile:
    """What a file says: the kind of job, its keys with their values, and the file's name for errors."""

    kind: str
    values: Mapping[str, Any]
    where: str


def read_job_file(kind: str, path: Path) -> JobFile:
    """Read a file of ``key: value`` lines. Raises JobFileError."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise JobFileError(f"{path}: {error.strerror}; relative names start at the job's working folder") from None
    except (yaml.YAMLError, ValueError) as error:  # a date that there is not is a plain ValueError
        raise JobFileError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise JobFileError(f"{path} must hold `key: value` lines; configs/*/example.yaml show each kind")
    return JobFile(kind, content, str(path))


def check_request(kind: str, values: Mapping[str, Any], where: str) -> BaseModel:
    """The request of a kind of job; ``where`` names the file in errors. Raises JobFileError."""
    return check(KINDS[kind].schema, values, where)


def check(schema: type[BaseModel], values: Mapping[str, Any], where: str) -> BaseModel:
    """Values as the schema has them. Raises JobFileError, which tells everything that is wrong with them."""
    try:
        return schema.model_validate(dict(values))
    except ValidationError as error:
        lines = [f"{where}: {_describe(each, schema)}" for each in error.errors()]
        raise JobFileError("\n".join(lines)) from None


def with_task_id(values: Mapping[str, Any], job_id: str) -> dict[str, Any]:
    """The values with a task id that is the same for each run of one Ray job, so that a repetition begins nothing twice.

    The file's own ``task_id`` stays; outside of a job, each run is a task of its own.
    """
    if not job_id or values.get(TASK_ID):
        return dict(values)
    return {**values, TASK_ID: stem_of(job_id)}


def stem_of(job_id: str) -> str:
    """A job's id as part of a task id: itself, or a digest where it has other characters or is long."""
    if is_task_id(job_id) and len(job_id) <= _LONGEST_STEM:
        return job_id
    return f"job-{hashlib.sha256(job_id.encode()).hexdigest()[:32]}"


def _describe(error: Mapping[str, Any], schema: type[BaseModel]) -> str:
    """One thing that is wrong: the key, what it holds and what it should."""
    key = ".".join(map(str, error["loc"])) or "the file"
    if error["type"] == "extra_forbidden":
        return (
            f"{key}: there is no such key; {_remedy(str(error['loc'][-1]), schema.model_fields if len(error['loc']) == 1 else ())}"
        )
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "missing":
        return f"{key}: this key is required and missing"
    return f"{key}: {message} (given: {repr(error['input'])[:_MOST_ECHOED]})"


def _remedy(key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = get_close_matches(key, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"leave it out; there are {', '.join(names)}" if names else "leave it out"
