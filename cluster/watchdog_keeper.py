"""Keeps the watchdog of a service alive: who ends what hangs must not be missing itself.

A process that does nothing but wait for its child, the watchdog, and start it anew when it dies or shows no life. Where this one is
killed the watchdog goes on without it, and of a service that has detached `rfuav status` says so. Knows neither Ray nor HTTP.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import psutil

from actors import presence
from actors.clock import SystemClock
from actors.names import WATCHDOG
from actors.part_life import note_end
from actors.presence import Presence
from cluster.bring_down import WATCHDOG_KEEPER
from cluster.processes import MARK, instance_mark, presence_of
from cluster.run_record import read_record

_LOOK_S: Final = 2.0
#: So many looks without a sign of life, and the watchdog is taken to hang. Looks are counted, so a machine that slept accuses nobody.
_SILENT_LOOKS: Final = 15
#: The pause before another start grows with each death, up to this.
_LONGEST_PAUSE_S: Final = 60.0
#: A watchdog that has lived for so long did not die of its start; Ray may try for two minutes to reach a head that is gone.
_SOUND_S: Final = 300.0
#: A Ray that belongs to somebody else is taken for gone when so many watchdogs in a row have died of their start.
_LAST_DEATH: Final = 10
#: What the watchdog and its keeper print begins anew at this size.
_OUTPUT_BYTES: Final = 1_000_000

_log = logging.getLogger("rfuav.watchdog.keeper")


def start_watchdog(state_dir: Path) -> Presence:
    """Start the keeper, and so the watchdog, of a service whose record is written, in a session of its own."""
    _output_path(state_dir).unlink(missing_ok=True)
    # To its end, wherever that is: the keeper cuts the file off when it is too long.
    with _output_path(state_dir).open("ab") as output:
        process = subprocess.Popen(
            _command(__name__, state_dir),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {MARK: instance_mark(state_dir)},
            start_new_session=True,
        )
    return presence_of(psutil.Process(process.pid))


class Keeper:
    """Starts one process after the other until one ends well, or its service has ended."""

    def __init__(self, state_dir: Path, command: Sequence[str], *, look_s: float = _LOOK_S, is_over: Callable[[int], bool]) -> None:
        """Prepare to keep ``command``; ``is_over`` tells whether nothing is left to watch after so many deaths in a row at its start."""
        self._state_dir = state_dir
        self._command = command
        self._look_s = look_s
        self._is_over = is_over

    def keep(self) -> None:
        """Return once a process has ended well, or nothing is left to watch."""
        pause_s, deaths = self._look_s, 0
        while True:
            clock = SystemClock()
            begun_at = clock.now()
            child = subprocess.Popen(self._command)
            status = self._wait(child)
            is_sound = clock.now() - begun_at > _SOUND_S
            deaths = 0 if is_sound else deaths + 1
            if status == 0 or self._is_over(deaths):
                return
            pause_s = self._look_s if is_sound else min(2 * pause_s, _LONGEST_PAUSE_S)
            _log.error("the watchdog, process %d, ended with status %d; starting another in %.0f s", child.pid, status, pause_s)
            _rest(pause_s)

    def _wait(self, child: "subprocess.Popen[bytes]") -> int:
        """Wait for the end of a process; one that shows no life for a while is ended."""
        silent_looks, shown_at = 0, presence.shown_at(self._state_dir, WATCHDOG)
        while True:
            _bound_output(self._state_dir)
            try:
                return child.wait(self._look_s)
            except subprocess.TimeoutExpired:
                last, shown_at = shown_at, presence.shown_at(self._state_dir, WATCHDOG)
                silent_looks = silent_looks + 1 if shown_at == last else 0
            if silent_looks == _SILENT_LOOKS:
                reason = f"ended by its keeper: no sign of life for {_SILENT_LOOKS * self._look_s:.0f} s"
                _log.error("the watchdog, process %d, is %s", child.pid, reason)
                note_end(self._state_dir, WATCHDOG, pid=child.pid, at=SystemClock().now(), reason=reason)
                child.kill()


def _rest(pause_s: float) -> None:
    """Wait before another start. There is nothing else to hear: who wants this process to end ends it by a signal."""
    threading.Event().wait(pause_s)


def _command(module: str, state_dir: Path) -> list[str]:
    # -P: the working folder is often a data root, and what was uploaded there must not be imported.
    return [sys.executable, "-P", "-m", module, str(state_dir)]


def _output_path(state_dir: Path) -> Path:
    return state_dir / "logs" / "watchdog.out"


def _bound_output(state_dir: Path) -> None:
    path = _output_path(state_dir)
    with contextlib.suppress(OSError):
        if path.stat().st_size > _OUTPUT_BYTES:
            os.truncate(path, 0)


def _has_ended(state_dir: Path, deaths: int) -> bool:
    """Whether nothing is left to watch. No process shows that of a Ray that belongs to somebody else: there the deaths count."""
    record = read_record(state_dir)
    if record is None:
        return True
    return deaths >= _LAST_DEATH if record.head is None else record.head.process() is None


def main() -> None:
    """Keep the watchdog of the service whose state folder is the only argument."""
    state_dir = Path(sys.argv[1])
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    presence.announce(state_dir, WATCHDOG_KEEPER)
    Keeper(state_dir, _command("cluster.watchdog", state_dir), is_over=lambda deaths: _has_ended(state_dir, deaths)).keep()


if __name__ == "__main__":
    main()
