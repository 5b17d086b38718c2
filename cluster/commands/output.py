"""How commands print: tables for people, JSON for scripts, complaints to stderr.

Owns the difference between a terminal and a file: colours, boxes and redrawing are for terminals only. Text from outside never
brings control characters along.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import typer

from cluster.commands.exits import ExitCode


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table: each row has as many cells as there are headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[object]] = field(default_factory=tuple)

    def as_lines(self) -> list[str]:
        """The table as aligned lines without any decoration."""
        cells = [list(self.headings), *([show(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(self.headings))]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def is_terminal() -> bool:
    """Whether a person looks at stdout as it is written."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def say(line: str) -> None:
    """Print one line."""
    print(line, flush=True)


def say_json(answer: Any) -> None:
    """Print an answer of the service, or a plain value, as JSON in one line."""
    say(json.dumps(as_plain(answer)))


def say_sheet(sheet: Sheet, *, empty: str) -> None:
    """Print a table, or the words for one without rows."""
    if not sheet.rows:
        say(empty)
    elif is_terminal():
        from rich.console import Console  # noqa: PLC0415 (what is redirected needs none of it)

        Console(highlight=False).print(rich_table(sheet))
    else:
        for line in sheet.as_lines():
            say(line)


def say_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line; what is empty is left out."""
    shown = {name: value for name, value in fields.items() if value not in (None, "", [], {})}
    width = max((len(name) for name in shown), default=0) + 1
    for name, value in shown.items():
        say(f"{name + ':':{width}} {show(value)}")


def say_progress(line: str) -> None:
    """Print one line to stderr, where stdout is for a script."""
    print(line, file=sys.stderr, flush=True)


def complain(text: object) -> None:
    """Print to stderr."""
    print(f"rfuav: {text}", file=sys.stderr, flush=True)


def give_up(error: object, code: ExitCode) -> NoReturn:
    """Say why on stderr and end the command."""
    complain(error)
    raise typer.Exit(code)


def rich_table(sheet: Sheet) -> Any:
    """A table for a rich console; cells are text, never markup."""
    from rich import box  # noqa: PLC0415 (what is redirected needs none of it)
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*sheet.headings, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in sheet.rows:
        table.add_row(*(Text(show(cell)) for cell in row))
    return table


def as_plain(answer: Any) -> Any:
    """An answer as JSON knows it: models become objects with the names that the service sent."""
    if hasattr(answer, "model_dump"):
        return answer.model_dump(mode="json", by_alias=True)
    if isinstance(answer, Mapping):
        return {name: as_plain(value) for name, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [as_plain(each) for each in answer]
    return answer


def show(value: object) -> str:
    """A value for people, in one line and without control characters."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(show(each) for each in value) or "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {show(each)}" for name, each in value.items()) or "-"
    return "".join(mark if mark.isprintable() else " " for mark in str(value))


def span(seconds: float | None) -> str:
    """A duration for people: ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds is None:
        return "unknown"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
