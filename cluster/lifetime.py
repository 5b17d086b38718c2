"""What every command that keeps processes up has in common: how it fails, how it stops, and that nothing is left behind.

Owns the folder's first entries, the announcement of the command, and the way out of it. Knows nothing of what is brought up.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from actors import presence
from cluster import signals
from cluster.bring_down import UP, bring_down
from cluster.ray_head import keep_logs
from configs.settings import SettingsError

Say = Callable[[str], None]


class BringUpError(Exception):
    """The service did not come up, or ended by itself.

    Attributes:
        part: what failed.
        reason: why, in one line or several.
        log: where more can be read.
    """

    def __init__(self, part: str, reason: str, log: Path) -> None:
        super().__init__(part, reason, log)
        self.part = part
        self.reason = reason
        self.log = log

    def __str__(self) -> str:
        return f"{self.part}: {self.reason}\nlog: {self.log}"


@contextlib.contextmanager
def announced(state_dir: Path) -> Iterator[None]:
    """Say in the state folder that this process is its ``up``, as long as it is."""
    presence.announce(state_dir, UP)
    try:
        yield
    finally:
        (state_dir / "run" / f"{UP}.json").unlink(missing_ok=True)


@contextlib.contextmanager
def nothing_left_behind(state_dir: Path, say: Say) -> Iterator[None]:
    """End everything when the block is left by an exception; a request to stop ends here, quietly."""
    try:
        yield
    except signals.StopRequested:
        with signals.deaf():
            say("stopping")
            leave_ray()
            bring_down(state_dir)
            say("everything has ended")
    except BaseException:
        with signals.deaf():
            leave_ray()
            keep_logs(state_dir)
            bring_down(state_dir)
        raise


@contextlib.contextmanager
def as_failure_of(part: str, log: Path) -> Iterator[None]:
    """Raise BringUpError for whatever fails in the block; what the user can mend stays as it is."""
    try:
        yield
    except (SettingsError, BringUpError):
        raise
    except Exception as error:
        raise BringUpError(part, str(error) or type(error).__name__, log) from error


def leave_ray() -> None:
    """Disconnect this process from Ray, if it is connected."""
    # A driver that is still connected when its Ray ends is ended with it.
    if "ray" in sys.modules and "cluster.compose" in sys.modules:
        with signals.kept():
            sys.modules["cluster.compose"].disconnect()


def ray_logs(state_dir: Path) -> Path:
    """Where Ray's own logs are kept when a start has failed."""
    return state_dir / "logs" / "ray"


def prepare_state_folder(state_dir: Path) -> None:
    """Make the state folder. Raises SettingsError where it cannot be written."""
    try:
        (state_dir / "logs").mkdir(parents=True, exist_ok=True)
        (state_dir / "run").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"state_dir: {state_dir}: {error.strerror}; give a folder that can be written with --state-dir"
        ) from None
