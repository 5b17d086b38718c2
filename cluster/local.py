"""Brings a service up on this machine, keeps it up, and takes it down again.

Owns the order of things and what is said about them. The composition inside Ray is in ``compose``, the end in ``bring_down``.
"""

import ipaddress
import shlex
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from actors import presence
from actors.core.errors import ActorSystemError
from actors.names import ACCOUNTANT
from actors.part_life import forget_lives
from actors.presence import Presence
from cluster import signals
from cluster.bring_down import UP, bring_down
from cluster.http_probe import describe_devices, probe_health
from cluster.keys_command import has_keys
from cluster.lifetime import (
    BringUpError,
    Say,
    announced,
    as_failure_of,
    leave_ray,
    nothing_left_behind,
    prepare_state_folder,
    ray_logs,
)
from cluster.ports import can_listen
from cluster.processes import end_processes, find_presences, find_processes, instance_mark
from cluster.ray_head import HeadStart, ensure_token, temp_dir_of, token_path, use_token
from cluster.run_record import ServiceRecord, locked, read_record, write_record
from cluster.watchdog_keeper import start_watchdog
from configs.settings import Settings, SettingsError

_READY_DEADLINE_S: Final = 120.0
_PROBE_PAUSE_S: Final = 0.1
_PROBES_PER_LOOK: Final = 20
#: How often a foreground ``up`` looks whether its Ray lives.
_LOOK_S: Final = 2.0
#: A foreground ``up`` that is asked to stop ends everything itself; its own bounds add up to less.
_UP_STOP_DEADLINE_S: Final = 40.0

#: The addresses that stand for all, and where they are reached on this machine.
_REACHED_AT: Final = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1"})


class AlreadyUpError(Exception):
    """A service of this state folder is up."""

    def __init__(self, url: str, state_dir: Path) -> None:
        super().__init__(url, state_dir)
        self.url = url
        self.state_dir = state_dir

    def __str__(self) -> str:
        return f"a service with state folder {self.state_dir} is already up at {self.url}; end it with `rfuav down`, or give --state-dir"


@dataclass(frozen=True, slots=True)
class _Joined:
    """The Ray that this process is connected to: ours has a ``head``, somebody else's may have a Serve already."""

    address: str
    dashboard_url: str
    head: Presence | None
    has_serve: bool


def up(settings: Settings, *, address: str | None, detach: bool, say: Say) -> None:
    """Bring the service up and, unless ``detach``, stay until SIGINT or SIGTERM; then bring it down.

    Args:
        settings: of the service.
        address: of a Ray to adopt; None starts one of our own.
        detach: return once the service is ready.
        say: takes lines for the user.

    Raises:
        SettingsError: the host is not loopback and there are no keys, the port is taken, or the state folder cannot be written.
        AlreadyUpError: this state folder's service is up.
        StateFolderBusyError: another command works on the state folder.
        BringUpError: something did not start, or Ray ended by itself; everything was ended.
    """
    _refuse_open_host(settings)
    prepare_state_folder(settings.state_dir)
    with locked(settings.state_dir), signals.stop_as_exception():
        _refuse_second(settings.state_dir)
        with announced(settings.state_dir), nothing_left_behind(settings.state_dir, say):
            bring_down(settings.state_dir, take_apart=False)
            forget_lives(settings.state_dir)
            if settings.host in _REACHED_AT and not settings.host_names:
                say(
                    "clients may use loopback names only; RFUAV_HOST_NAMES lists the names and addresses of this machine that they use"
                )
            record = _bring_up(settings, address, say)
            for line in describe_devices(record.url):
                say(line)
            if record.nodes == "several":
                say(f"other machines join with `rfuav join {record.ray_address} --token-file COPY_OF_THIS`: {record.token_path}")
            _note_down(settings.state_dir, record, is_detached=detach)
            say(f"READY {record.url}")
            if not detach:
                _stay(record, settings.state_dir)


def down(state_dir: Path) -> bool:
    """End the service of a state folder, its leftovers included.

    Returns:
        Whether there was anything to end.

    Raises:
        StateFolderBusyError: another command works on the state folder.
        BringDownError: something could not be ended.
    """
    if not (state_dir / "run").is_dir():
        return False
    found = presence.find(state_dir, UP)
    foreground = found.process() if found else None
    if foreground is not None:
        end_processes([foreground], grace_s=_UP_STOP_DEADLINE_S)
    with locked(state_dir), signals.deaf():
        was_up = foreground is not None or read_record(state_dir) is not None or bool(find_processes(instance_mark(state_dir)))
        bring_down(state_dir)
    return was_up


def page_url(settings: Settings) -> str:
    """Where the service's page is, with a slash at the end."""
    # Who listens on every address is reached, from here, on loopback.
    name = _REACHED_AT.get(settings.host, settings.host)
    host = f"[{name}]" if ":" in name else name
    return f"http://{host}:{settings.port}/"


def _bring_up(settings: Settings, address: str | None, say: Say) -> ServiceRecord:
    joined = _start_ray(settings, say) if address is None else _adopt_ray(settings, address, say)
    is_own = joined.head is not None
    record = ServiceRecord(
        url=page_url(settings),
        started_at=time.time(),
        keeper=presence.own_presence(),
        head=joined.head,
        ray_address=joined.address,
        dashboard_url=joined.dashboard_url,
        token_path=str(token_path(settings.state_dir)) if is_own else "",
        temp_dir=str(temp_dir_of(settings.state_dir)) if is_own else "",
        started_serve=not joined.has_serve,
        nodes=settings.nodes if is_own else "one",
    )
    write_record(settings.state_dir, record)
    _start_parts(settings, is_direct=is_own, say=say)
    with as_failure_of("HTTP and the predictor", ray_logs(settings.state_dir)):
        _wait_until_healthy(record.url)
    leave_ray()
    return record


def _start_ray(settings: Settings, say: Say) -> _Joined:
    _refuse_taken_port(settings)
    ensure_token(settings.state_dir)
    use_token(settings.state_dir)
    say(f"starting Ray; its logs are in {temp_dir_of(settings.state_dir)}")
    with as_failure_of("Ray", settings.state_dir / "logs" / "ray_start.log"):
        starting = HeadStart(settings)
        from cluster import compose  # noqa: PLC0415 (importing Ray takes seconds, in which the head starts)

        head = starting.wait()
        with signals.kept():
            dashboard_url = compose.connect(head.address)
    return _Joined(head.address, dashboard_url, head.process, has_serve=False)


def _adopt_ray(settings: Settings, address: str, say: Say) -> _Joined:
    say(
        f"adopting the Ray at {address}; HTTP goes through Serve's own proxy there, and the most replicas stay what its devices carry now"
    )
    with as_failure_of("Ray", settings.state_dir / "logs"):
        from cluster import compose  # noqa: PLC0415 (imports Ray)

        with signals.kept():
            try:
                dashboard_url = compose.connect(address)
            except ConnectionError as error:
                hint = "if it wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH as for any driver of it"
                raise ConnectionError(f"{error}; {hint}") from error
        has_serve = compose.is_serve_running()
    if not has_serve:
        _refuse_taken_port(settings)
    return _Joined(address, dashboard_url, None, has_serve)


def _start_parts(settings: Settings, *, is_direct: bool, say: Say) -> None:
    from cluster import compose  # noqa: PLC0415 (imports Ray)

    logs = ray_logs(settings.state_dir)
    say("starting the accountant, the supervisor, the log hub, HTTP and the predictor")
    # All of them wait for processes that import for seconds, mostly on one core.
    with ThreadPoolExecutor(1) as beside:
        serving = beside.submit(compose.start_serve, settings, is_direct=is_direct and settings.nodes == "one")
        with as_failure_of("actors", logs):
            starting = compose.StartingActors(settings)
        with as_failure_of("HTTP", logs):
            serving.result()
            compose.deploy(settings)
    with as_failure_of("actors", logs):
        starting.wait(ACCOUNTANT)
    with as_failure_of("predictor", logs):
        compose.deploy_predictor(settings, is_own=is_direct)
    with as_failure_of("actors", logs):
        starting.wait()


def _wait_until_healthy(url: str) -> None:
    from cluster import compose  # noqa: PLC0415 (imports Ray)

    deadline = time.monotonic() + _READY_DEADLINE_S
    pause = threading.Event()
    probes = 0
    while not (health := probe_health(url)).is_healthy:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url}api/v1/health is still {health.status} after {_READY_DEADLINE_S:.0f} s: {health.reason}")
        probes += 1
        # Asking Serve is dear beside asking HTTP, and takes from what is starting.
        if probes % _PROBES_PER_LOOK == 0:
            compose.raise_if_failed()
        pause.wait(_PROBE_PAUSE_S)


def _note_down(state_dir: Path, record: ServiceRecord, *, is_detached: bool) -> None:
    keeper = start_watchdog(state_dir)
    write_record(
        state_dir,
        replace(
            record,
            keeper=keeper if is_detached else presence.own_presence(),
            processes=find_presences(instance_mark(state_dir)),
        ),
    )


def _stay(record: ServiceRecord, state_dir: Path) -> None:
    """Wait for a signal (StopRequested), or for the end of our own Ray, which is a failure."""
    pause = threading.Event()
    while record.head is None or record.head.process() is not None:
        pause.wait(_LOOK_S)
    raise BringUpError("Ray", "ended by itself", ray_logs(state_dir))


def _refuse_open_host(settings: Settings) -> None:
    """Refuse to let others reach a service that has no keys yet."""
    is_open = settings.nodes == "several" or not _is_loopback(settings.host)
    if not is_open:
        return
    try:
        is_kept = has_keys(settings)
    except (ActorSystemError, OSError) as error:
        raise SettingsError(f"host: {settings.host!r} needs API keys, and they cannot be read: {error}") from None
    if is_kept:
        return
    make_one = f"Make a key with `rfuav keys add --role admin --name YOU --state-dir {shlex.quote(str(settings.state_dir))}`"
    if _is_loopback(settings.host):
        raise SettingsError(f"nodes: 'several' needs API keys: through HAProxy every client looks like this machine. {make_one}")
    raise SettingsError(
        f"host: {settings.host!r} is not a loopback address, and without API keys the service listens on loopback only. {make_one}, "
        "or use 127.0.0.1 and an SSH tunnel to reach it from elsewhere"
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_taken_port(settings: Settings) -> None:
    if not can_listen(settings.host, settings.port):
        raise SettingsError(
            f"port: {settings.port} on {settings.host} is in use by another program; end that one, or give another with --port"
        )


def _refuse_second(state_dir: Path) -> None:
    record = read_record(state_dir)
    if record is not None and record.is_kept:
        raise AlreadyUpError(record.url, state_dir)
