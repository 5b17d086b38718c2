"""A request body of the HTTP contract as options: one for each field, with the contract's own words, defaults and bounds.

Owns how fields become options and how options and a file become a request. The schemas are the single source: a new field is a new
option. It must not know where a request is sent.
"""

import inspect
import sys
import types
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from cluster.commands.exits import ExitCode
from cluster.commands.late_options import late_option
from cluster.commands.output import give_up

#: Between a field and a field of the object in it, in the names of options' values.
_INSIDE: Final = "__"
#: Instead of a list: none at all.
_NONE: Final = "none"
_BOUNDS: Final = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
#: Longer ones leave no room for the help beside them.
_MOST_METAVAR: Final = 24
_KINDS: Final = {int: "INTEGER", float: "NUMBER", str: "TEXT"}


def field_options(schema: type[BaseModel], *, panel: str = "Request", within: str = "") -> list[inspect.Parameter]:
    """Describe an option for each field of a request, and of the objects in it."""
    options: list[inspect.Parameter] = []
    for name, field in schema.model_fields.items():
        options += _options_of(f"{within}{name}", field, panel)
    return options


def read_request(schema: type[BaseModel], values: Mapping[str, Any], file: Path | None) -> Any:
    """Make a request of a file and of options, which win; what cannot be used ends the command with a bad input."""
    fields = _read_file(file) if file else {}
    inner = {name for name, field in schema.model_fields.items() if _inner_schema(field)}
    for name, value in values.items():
        if value is not None and value not in ([], ()):
            _put(fields, name, _read_file(value) if name in inner else value)
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        give_up("\n       ".join(_describe(each) for each in error.errors()), ExitCode.BAD_INPUT)


def _options_of(name: str, field: FieldInfo, panel: str) -> Iterator[inspect.Parameter]:
    inner = _inner_schema(field)
    flag = f"--{_typed(name)}"
    if inner is None:
        yield late_option(name, _kind(field), flags=(_declared(flag, field),), **_words(field, panel))
        if _members(field.annotation)[0] is list and not field.is_required():
            words = {"help": f"Leave {flag} empty, instead of its default.", "rich_help_panel": panel, "show_default": False}
            yield late_option(f"{name}{_INSIDE}{_NONE}", bool | None, flags=(f"--no-{_typed(name)}/",), **words)
        return
    words = {"help": f"JSON or YAML file with the {name}; its parts may be given below.", "rich_help_panel": panel}
    yield late_option(name, Path | None, flags=(flag,), metavar="FILE", **words)
    yield from field_options(inner, panel=name.capitalize(), within=f"{name}{_INSIDE}")


def _kind(field: FieldInfo) -> Any:
    """The type that typer reads an option as; figures and words stay text, which the schema reads."""
    first = _members(field.annotation)[0]
    if _is_switch(field):
        return bool | None
    if first is list:
        return list[str] | None
    return tuple[str, str] | None if first is tuple else str | None


def _is_switch(field: FieldInfo) -> bool:
    return _members(field.annotation) == [bool]


def _declared(flag: str, field: FieldInfo) -> str:
    return f"{flag}/--no-{flag.removeprefix('--')}" if _is_switch(field) else flag


def _words(field: FieldInfo, panel: str) -> dict[str, Any]:
    """The help of an option: what the field is, its bounds, its default, and what stands for its value."""
    metavar = _metavar(field)
    choices = f"one of {metavar.replace('|', ', ')}" if len(metavar) > _MOST_METAVAR else ""
    parts = [field.description, choices, _bounds(field), _default(field), "required" if field.is_required() else ""]
    words: dict[str, Any] = {
        "help": "; ".join(part for part in parts if part),
        "rich_help_panel": panel,
        "show_default": False,
    }
    return words if _is_switch(field) else words | {"metavar": "NAME" if choices else metavar}


def _bounds(field: FieldInfo) -> str:
    bounds = ((text, getattr(bound, key, None)) for bound in field.metadata for key, text in _BOUNDS.items())
    return ", ".join(f"{text} {_shown(value)}" for text, value in bounds if value is not None)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    default = field.get_default(call_default_factory=True)
    return "" if default in (None, "", (), []) else f"default {_shown(default)}"


def _metavar(field: FieldInfo) -> str:
    """What stands for the value in the help: the words to choose from, or its kind."""
    choices: list[str] = []
    kinds: list[str] = []
    for member in _leaves(field.annotation):
        if get_origin(member) is Literal:
            choices += map(str, get_args(member))
        elif member is bool:
            choices += ["true", "false"]
        elif inspect.isclass(member) and issubclass(member, Enum):
            choices += [str(each.value) for each in member]
        else:
            kinds.append(_KINDS.get(member, "TEXT"))
    return "|".join([*choices, *dict.fromkeys(kinds)])


def _members(annotation: Any) -> list[Any]:
    """What a field may be, None left out; of a list or a tuple the container."""
    return [get_origin(each) if get_origin(each) in (list, tuple) else each for each in _alternatives(annotation)]


def _leaves(annotation: Any) -> list[Any]:
    """The same, of a list or a tuple what is in it."""
    leaves = []
    for member in _alternatives(annotation):
        inside = get_args(member) if get_origin(member) in (list, tuple) else ()
        leaves += [leaf for each in inside for leaf in _leaves(each)] if inside else [member]
    return leaves


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [found for each in get_args(annotation) if each is not type(None) for found in _alternatives(each)]
    return [annotation]


def _inner_schema(field: FieldInfo) -> type[BaseModel] | None:
    first = _members(field.annotation)[0]
    return first if inspect.isclass(first) and issubclass(first, BaseModel) else None


def _shown(default: Any) -> str:
    if isinstance(default, list | tuple):
        return ", ".join(map(_shown, default))
    if isinstance(default, bool):
        return "yes" if default else "no"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _typed(name: str) -> str:
    return name.replace(_INSIDE, "_").replace("_", "-")


def _put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Put an option's value where the request has it."""
    *outer, last = name.split(_INSIDE)
    if last == _NONE:
        fields[outer[0]] = []
        return
    for each in outer:
        inside = fields.get(each)
        fields[each] = dict(inside) if isinstance(inside, dict) else {}
        fields = fields[each]
    fields[last] = value


def _read_file(path: Path) -> dict[str, Any]:
    """Read an object from a YAML or JSON file; ``-`` is stdin."""
    try:
        content = yaml.safe_load(sys.stdin if str(path) == "-" else path.read_text(encoding="utf-8"))
    except OSError as error:
        give_up(f"{path}: {error.strerror}", ExitCode.BAD_INPUT)
    except (yaml.YAMLError, ValueError) as error:  # a date that there is not is a plain ValueError
        give_up(f"{path} is neither YAML nor JSON: {' '.join(str(error).split())}", ExitCode.BAD_INPUT)
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        give_up(f"{path} must hold `field: value` lines, or one JSON object", ExitCode.BAD_INPUT)
    return content


def _describe(error: Mapping[str, Any]) -> str:
    """Name the option, say what is wrong with it and what was given."""
    path = [each for each in error["loc"] if isinstance(each, str)]
    option = f"--{'-'.join(path).replace('_', '-')}"
    if error["type"] == "missing":
        return f"{option} is missing: give it, or {'.'.join(path)} in --file"
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(path)}: there is no such field in this request; see the options in --help"
    message = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return f"{option}: {message}" + (f" (given: {given})" if isinstance(given, str | int | float) else "")
