"""How a described call becomes a method, keeping its types, its name and its docstring for editors and ``help()``."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, get_args, get_origin

from cluster.client.flows import Item
from cluster.client.operation import Call

Method = TypeVar("Method", bound=Callable[..., Any])
#: What the functions' docstrings say of the parameter that the client fills in.
_OF_THE_CLIENT: Final = "        manner: of the client.\n"


def named_after(build: Callable[..., Any], *, leave_out: int) -> Callable[[Method], Method]:
    """Give a method the name, the docstring and the parameters of the function that describes it.

    Args:
        build: the function.
        leave_out: how many of its first parameters the client fills in.
    """

    def name(method: Method) -> Method:
        method.__name__ = method.__qualname__ = build.__name__
        method.__doc__ = (build.__doc__ or "").replace(_OF_THE_CLIENT, "")
        signature = inspect.signature(build)
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        wanted = list(signature.parameters.values())[leave_out:]
        method.__signature__ = signature.replace(parameters=[own, *wanted], return_annotation=_result(signature.return_annotation))  # type: ignore[attr-defined]
        return method

    return name


def _result(annotation: Any) -> Any:
    """What the caller gets of a ``Call``, a ``Flow`` or ``Items``: the answer, or an iterator of items."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Call:
        return arguments[0]
    item = next((each for each in get_args(arguments[0]) if get_origin(each) is Item), None)
    return arguments[2] if item is None else Iterator[get_args(item)[0]]  # type: ignore[misc]
