"""How the process of an attempt is called where Ray shows processes: in its dashboard, in ``ray list actors``, and in ``ps``.

Ray reads an actor's ``repr`` once, when it is made; what changes later can only be shown in the title of the process.
"""

from typing import Final

from ray import _raylet

from actors.attempt_order import AttemptOrder
from actors.core.tasks import Progress

#: Ray's own titles begin so, and by it an attempt is told from other processes.
_PREFIX: Final = "ray::AttemptActor"
#: A longer title would overwrite the environment of the process, by which it is found.
_LONGEST: Final = 160
_LONGEST_PART: Final = 48


def describe_attempt(order: AttemptOrder) -> str:
    """An attempt for people: what it does, with which model, the user's name for it, its task, and which of its processes it is."""
    words = [order.task_type, _part(order.request.get("model")), _part(order.request.get("name"))]
    rank = f", rank {order.rank} of {order.world_size}" if order.world_size > 1 else ""
    return f"{' '.join(word for word in words if word)} (task {_part(order.task_id)}{rank})"


def describe_progress(progress: Progress) -> str:
    """How far an attempt is, in a few words."""
    epochs = f"epoch {progress.epoch}/{progress.total_epochs} " if progress.epoch and progress.total_epochs else ""
    return f"{epochs}{progress.percent} %"


class Title:
    """The title of this process; what it begins with never changes."""

    def __init__(self, order: AttemptOrder) -> None:
        self._attempt = describe_attempt(order)

    def show(self, progress: Progress) -> None:
        """Show how far the work is."""
        _raylet.setproctitle(f"{_PREFIX} {describe_progress(progress)} {self._attempt}"[:_LONGEST])  # type: ignore[attr-defined]


def _part(value: object) -> str:
    """A word of the title, kept short and printable."""
    text = "".join(mark if mark.isprintable() else "?" for mark in str(value or ""))
    return text if len(text) <= _LONGEST_PART else f"{text[: _LONGEST_PART - 1]}…"
