"""What the work of an attempt gets from its process."""

from collections.abc import Callable
from dataclasses import dataclass

from actors.fence import FencedFolder
from actors.messages import AttemptOrder
from actors.workers.reporter import Reporter
from configs.settings import Settings


@dataclass(frozen=True, slots=True)
class Tools:
    """The order, where to write, whom to tell, and when to stop.

    Attributes:
        order: what to do, on which lease.
        settings: of the service.
        folder: the output folder behind its fence.
        reporter: for log lines and progress.
        threads: CPU threads for the computation.
        should_stop: asked before every batch.
    """

    order: AttemptOrder
    settings: Settings
    folder: FencedFolder
    reporter: Reporter
    threads: int
    should_stop: Callable[[], bool]
