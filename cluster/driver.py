"""What a program of a user needs to reach the running service over Ray: the connection, and who it is as a Ray job.

Owns the way in and the words for why there is none. Knows nothing of tasks and leases.
"""

import json
import logging
import os
import warnings
from collections.abc import Mapping
from typing import Final

import ray
from ray.exceptions import RayError

_ADDRESS: Final = "RAY_ADDRESS"
#: Where `ray job submit` tells the program which job it is.
_JOB_CONFIG: Final = "RAY_JOB_CONFIG_JSON_ENV_VAR"
_SUBMISSION_ID: Final = "job_submission_id"


class NoServiceError(ConnectionError):
    """There is no running service to talk to from here; the text names the remedy."""


def connect(*, is_quiet: bool) -> None:
    """Connect this process to the service's Ray, unless it is connected to one.

    Args:
        is_quiet: keep Ray's own messages, and what the job's workers print, out of this process's output.

    Raises:
        NoServiceError: the environment names no Ray, or the one that it names does not let this process in.
    """
    if ray.is_initialized():
        return
    if not os.environ.get(_ADDRESS):
        raise NoServiceError(f'{_ADDRESS} is not set; run eval "$(rfuav env)" in this shell first')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            ray.init(log_to_driver=not is_quiet, logging_level=logging.WARNING if is_quiet else logging.INFO)
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        remedy = 'is the service up (`rfuav status`), and is this shell\'s eval "$(rfuav env)" of its present start?'
        raise NoServiceError(f"no way into the Ray at {os.environ[_ADDRESS]}: {error}; {remedy}") from None


def submission_id(environ: Mapping[str, str]) -> str:
    """The id that `ray job submit` gave to the job which this program is; "" for a program of no such job."""
    try:
        metadata = json.loads(environ.get(_JOB_CONFIG, "{}")).get("metadata") or {}
    except (ValueError, AttributeError):
        return ""
    return str(metadata.get(_SUBMISSION_ID) or "")
