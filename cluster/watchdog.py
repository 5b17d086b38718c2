"""Ends parts of the service that live but do not answer, so that Ray starts them anew.

Ray restarts what dies but never notices what merely hangs. This small process of its own asks the ingress and the three actors again
and again, and kills by pid what has been silent for too long; replicas of the predictor speak to the accountant, which tells. It also
lets the predictor's ceiling follow the devices. What it ends, and why, it notes down for those who ask how the service is. It ends when
its Ray does; its keeper starts it anew when it ends before. Never imports torch.
"""

import functools
import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil

from actors import presence
from actors.messages import ReplicaReport, ReplicaStanding
from actors.names import ACCOUNTANT, INGRESS, LOG_HUB, NAMESPACE, PREDICTOR, SUPERVISOR, WATCHDOG
from actors.part_life import note_end
from cluster.ceiling import Ceiling, read_deployed
from cluster.haproxy import PROGRAM, end_orphans
from cluster.http_probe import get_json
from cluster.processes import instance_mark
from cluster.replica_notes import ReplicaNotes
from cluster.run_record import ServiceRecord, read_record
from cluster.service_errors import NoAnswerError

_SILENCE_S: Final = 10.0
#: Everybody waits on the ingress. Longer than a ping waits, so that one late answer on a busy machine is no end.
_SOONER_S: Final[Mapping[str, float]] = MappingProxyType({INGRESS: 7.0})
#: A new process may take so long until it answers for the first time.
_START_S: Final = 30.0
_PAUSE_S: Final = 1.0
_PING_S: Final = 5.0
#: The watchdog's log begins anew at this size; the one before is kept.
_LOG_BYTES: Final = 1_000_000

_log = logging.getLogger("rfuav.watchdog")

Ping = Callable[[], object]


class Watch:
    """Decides which parts are silent. The caller passes the clock; every instant is in seconds.

    A part is judged by its last answer, or by the start of its process if that is later: then with the longer time for a start. When
    the watch itself did not look for a while (the machine slept, or was overloaded), nobody is judged by that time.
    """

    def __init__(
        self, parts: Iterable[str], *, silence_s: float, start_s: float, now: float, sooner_s: Mapping[str, float] | None = None
    ) -> None:
        """Begin to watch. ``sooner_s`` names parts that may be silent for another, shorter time."""
        self._silence_s = silence_s
        self._sooner_s = dict(sooner_s or {})
        self._start_s = start_s
        self._looked_at = now
        self._heard_at = dict.fromkeys(parts, now)

    def heard(self, part: str, *, now: float) -> None:
        """Note that a part has answered; one that was not known is watched from now on."""
        self._heard_at[part] = now

    def keep(self, parts: Iterable[str]) -> None:
        """Forget all other parts."""
        self._heard_at = {part: self._heard_at[part] for part in parts}

    def look(self, started_at: Mapping[str, float], *, now: float) -> list[str]:
        """Find the silent parts.

        Args:
            started_at: when the process of each part started; parts without a process are not judged.
            now: the present instant.

        Returns:
            The silent parts; each is given the time of a start before it is named again.
        """
        if now - self._looked_at > min(self._silence_s, *self._sooner_s.values(), math.inf) / 2:
            self._heard_at = dict.fromkeys(self._heard_at, now)
        self._looked_at = now
        silent = [part for part, at in started_at.items() if self._is_silent(part, at, now)]
        for part in silent:
            self._heard_at[part] = now + self._start_s - self.silence_of(part)
        return silent

    def _is_silent(self, part: str, started_at: float, now: float) -> bool:
        heard_at = self._heard_at[part]
        if started_at > heard_at:
            return now - started_at > self._start_s
        return now - heard_at > self.silence_of(part)

    def silence_of(self, part: str) -> float:
        """How long a part may be silent, in seconds."""
        return self._sooner_s.get(part, self._silence_s)


class ReplicaWatch:
    """Ends replicas that live but have stopped to report themselves, on whichever node they are.

    Invariant: a replica is judged by when the accountant heard it last, and only while the accountant itself answers. One that an
    accountant does not know, since it began anew after the last report, is judged like the others.
    """

    def __init__(self, *, now: float, end_elsewhere: Callable[[ReplicaReport], None]) -> None:
        """Begin to watch; ``end_elsewhere`` ends a replica that is no process of this machine."""
        self._watch = Watch((), silence_s=_SILENCE_S, start_s=_START_S, now=now)
        self._end_elsewhere = end_elsewhere
        self._known: dict[str, ReplicaStanding] = {}

    def look(self, standings: Sequence[ReplicaStanding], *, now: float) -> list[ReplicaReport]:
        """Take in what the accountant tells, and end the silent ones; returns these."""
        for standing in standings:
            name = standing.report.replica_id
            if name not in self._known or self._known[name].heard_at != standing.heard_at:
                self._watch.heard(name, now=now)
            self._known[name] = standing
        silent = [self._known.pop(name).report for name in self._watch.look(dict.fromkeys(self._known, 0.0), now=now)]
        self._watch.keep(self._known)
        for report in silent:
            self._end(report)
        return silent

    def _end(self, report: ReplicaReport) -> None:
        process = report.presence.process()
        if process is not None:
            _end(f"replica {report.replica_id}", process)
        else:
            self._end_elsewhere(report)


def watch_service(state_dir: Path, record: ServiceRecord, pings: Mapping[str, Ping]) -> None:
    """Ask and judge until the service's Ray has ended."""
    watch = Watch(pings, silence_s=_SILENCE_S, start_s=_START_S, now=time.time(), sooner_s=_SOONER_S)
    asked: dict[str, Future[object]] = {}
    pause = threading.Event()
    with ThreadPoolExecutor(len(pings)) as pool:
        while record.head is None or record.head.process() is not None:
            for part, ping in pings.items():
                if part not in asked:
                    asked[part] = pool.submit(ping)
            pause.wait(_PAUSE_S)
            for part in [part for part, answer in asked.items() if answer.done()]:
                _take_answer(watch, part, asked.pop(part))
            _end_silent(watch, state_dir, pings, now=time.time())
            presence.show_life(state_dir, WATCHDOG)


def _take_answer(watch: Watch, part: str, answer: Future[object]) -> None:
    error = answer.exception()
    if error is None:
        watch.heard(part, now=time.time())
    else:
        _log.warning(
            "%s does not answer: %s", part, str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        )


def _end_silent(watch: Watch, state_dir: Path, parts: Iterable[str], *, now: float) -> None:
    processes = {part: process for part in parts if (process := _process_of(state_dir, part)) is not None}
    # Ray keeps processes ready for actors to come: what counts is when one began to be this part.
    started_at = {part: presence.shown_at(state_dir, part) or process.create_time() for part, process in processes.items()}
    for part in watch.look(started_at, now=now):
        silence_s = watch.silence_of(part)
        # Before its end: what follows on it asks for the reason at once.
        note_end(state_dir, part, pid=processes[part].pid, at=now, reason=_reason(silence_s))
        _end(part, processes[part], silence_s)


def _reason(silence_s: float = _SILENCE_S) -> str:
    return f"ended by the watchdog: silent for {silence_s:.0f} s"


def _end(part: str, process: psutil.Process, silence_s: float = _SILENCE_S) -> None:
    _log.error("%s has been silent for %.0f s; ending its process %d", part, silence_s, process.pid)
    try:
        process.kill()
    except psutil.Error as error:
        _log.error("%s could not be ended: %s", part, error)


def _process_of(state_dir: Path, part: str) -> psutil.Process | None:
    found = presence.find(state_dir, part)
    return found.process() if found else None


def _ping_actor(name: str) -> object:
    import ray  # noqa: PLC0415 (the pure part of this module is used without Ray)

    return ray.get(ray.get_actor(name, namespace=NAMESPACE).ping.remote(), timeout=_PING_S)


def _look_after_predictor(replicas: ReplicaWatch, notes: ReplicaNotes, ceiling: Ceiling | None) -> object:
    import ray  # noqa: PLC0415 (see above)

    accountant = ray.get_actor(ACCOUNTANT, namespace=NAMESPACE)
    standings: Sequence[ReplicaStanding] = ray.get(accountant.list_replicas.remote(), timeout=_PING_S)
    now = time.time()
    notes.look(standings, now=now)
    notes.note_ended(replicas.look(standings, now=now), _reason(), now=now)
    if ceiling is not None:
        ceiling.follow()
    return None


def _end_on_its_node(report: ReplicaReport) -> None:
    from actors.process_watch import begin_end  # noqa: PLC0415 (imports Ray, see above)

    _log.warning(
        "replica %s has been silent for %.0f s; if it lives on node %s, it is ended", report.replica_id, _SILENCE_S, report.node_id
    )
    begin_end(report.node_id, report.presence)


def _look_after_haproxy(state_dir: Path) -> object:
    for pid in end_orphans(instance_mark(state_dir)):
        _log.error("haproxy, process %d, had outlived its keeper and was ended", pid)
    return None


def _ping_ingress(url: str, *, is_behind_haproxy: bool) -> object:
    # A route that asks nobody else: what hangs behind the ingress is not its fault.
    try:
        return get_json(url, "", timeout_s=_PING_S)
    except NoAnswerError as error:
        if is_behind_haproxy and isinstance(error.__cause__, ConnectionRefusedError):
            return None  # nobody listens where HAProxy should, and whether the ingress answers is not known
        raise


def main() -> None:
    """Watch the service whose state folder is the only argument."""
    import ray  # noqa: PLC0415 (see above)

    state_dir = Path(sys.argv[1])
    # A service may be up for years.
    log = RotatingFileHandler(state_dir / "logs" / "watchdog.log", maxBytes=_LOG_BYTES, backupCount=1)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO, handlers=[log])
    presence.announce(state_dir, WATCHDOG)
    record = read_record(state_dir)
    if record is None:
        raise SystemExit(f"{state_dir} has no running service to watch")
    ray.init(address=record.ray_address, namespace=NAMESPACE, log_to_driver=False, logging_level=logging.WARNING)
    pings: dict[str, Ping] = {name: functools.partial(_ping_actor, name) for name in (ACCOUNTANT, SUPERVISOR, LOG_HUB)}
    pings[INGRESS] = functools.partial(_ping_ingress, record.url, is_behind_haproxy=record.nodes == "several")
    # Asked in the same way; as a part without a process of its own it is never ended itself.
    deployed = None if record.is_adopted else read_deployed(state_dir)
    ceiling = Ceiling(deployed) if deployed else None
    replicas = ReplicaWatch(now=time.time(), end_elsewhere=_end_on_its_node)
    pings[PREDICTOR] = functools.partial(_look_after_predictor, replicas, ReplicaNotes(state_dir), ceiling)
    if record.nodes == "several":
        pings[PROGRAM] = functools.partial(_look_after_haproxy, state_dir)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's own handler writes a stack trace into the log.
    _log.info("watching %s", ", ".join(pings))
    watch_service(state_dir, record, pings)
    _log.info("the service has ended")


if __name__ == "__main__":
    main()
