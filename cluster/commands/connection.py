"""How commands reach the service: one client, and one table from what can go wrong to exit codes."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

from cluster.commands.exits import ExitCode
from cluster.commands.output import give_up, say_json
from cluster.commands.service_command import asked

if TYPE_CHECKING:
    from cluster.client import Client

A = TypeVar("A")

#: Longer nobody waits at a prompt without a word; what is followed has the client's own patience.
_ATTEMPTS: Final = 3
_PATIENCE_S: Final = 5.0
_CODES: Final[Mapping[int, ExitCode]] = {
    HTTPStatus.BAD_REQUEST: ExitCode.BAD_INPUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ExitCode.BAD_INPUT,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: ExitCode.BAD_INPUT,
    HTTPStatus.UNPROCESSABLE_ENTITY: ExitCode.BAD_INPUT,
    HTTPStatus.UNAUTHORIZED: ExitCode.REFUSED,
    HTTPStatus.FORBIDDEN: ExitCode.REFUSED,
    HTTPStatus.NOT_FOUND: ExitCode.NOT_FOUND,
    HTTPStatus.CONFLICT: ExitCode.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: ExitCode.BUSY,
    HTTPStatus.SERVICE_UNAVAILABLE: ExitCode.BUSY,
}
#: A 404 that is about a field of the request.
_PATH_NOT_FOUND: Final = "path_not_found"


@contextlib.contextmanager
def service(ctx: typer.Context) -> Iterator["Client"]:
    """A client for a block; what goes wrong in it ends the command in plain words, with the exit code for it."""
    from cluster.client import Client, Retry  # noqa: PLC0415 (keeps `rfuav --help` quick)
    from cluster.service_errors import ServiceError  # noqa: PLC0415

    wish = asked(ctx)
    try:
        with Client(wish.url, api_key=wish.api_key, retry=Retry(attempts=_ATTEMPTS, patience_s=_PATIENCE_S)) as client:
            yield client
    except ServiceError as error:
        give_up(describe(error), exit_code_of(error))


def tell(ctx: typer.Context, answer: A, for_people: Callable[[A], None]) -> None:
    """Print what the service answered, as the caller wants it."""
    if asked(ctx).as_json:
        say_json(answer)
    else:
        for_people(answer)


def exit_code_of(error: Exception) -> ExitCode:
    """How a command ends that fails with an error of the client."""
    from cluster.service_errors import ApiError, InvalidRequestError  # noqa: PLC0415 (keeps `rfuav --help` quick)

    if isinstance(error, InvalidRequestError):
        return ExitCode.BAD_INPUT
    if not isinstance(error, ApiError):
        return ExitCode.NOT_UP
    if error.code == _PATH_NOT_FOUND:
        return ExitCode.BAD_INPUT
    return _CODES.get(error.status, ExitCode.NOT_UP)


def describe(error: Exception) -> str:
    """An error of the client for people, with what to do about it."""
    from cluster.service_errors import ApiError  # noqa: PLC0415 (keeps `rfuav --help` quick)

    if not isinstance(error, ApiError):
        return str(error)
    hints = [str(each["msg"]) for each in _fields(error.detail) if str(each.get("msg", "")) not in error.message]
    later = f"; try again in {error.retry_after_s:g} s" if error.retry_after_s else ""
    return "\n       ".join([f"{error}{later}", *hints])


def _fields(detail: Any) -> list[Mapping[str, Any]]:
    """The wrong fields that an answer lists, if it does."""
    return [each for each in detail if isinstance(each, Mapping) and "msg" in each] if isinstance(detail, list | tuple) else []
