"""A bar for a file on its way; nothing where nobody looks."""

from types import TracebackType
from typing import Any, Self

from cluster.commands.output import is_terminal


class Transfer:
    """Shows how far a file is, on terminals only. Invariant: the screen is left as it was found, but for the finished bar."""

    def __init__(self, name: str, *, is_quiet: bool) -> None:
        self._name = name
        self._progress: Any = None
        if is_terminal() and not is_quiet:
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

            name_column = TextColumn("{task.description}", markup=False)
            self._progress = Progress(name_column, BarColumn(), DownloadColumn(), TimeRemainingColumn(), transient=True)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
            self._bar = self._progress.add_task(self._name, total=None)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def advance(self, done: int, total: int) -> None:
        """So many bytes are through, of so many."""
        if self._progress is not None:
            self._progress.update(self._bar, completed=done, total=total)
