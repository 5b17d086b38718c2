"""Lets this machine join the service of another one, and takes it out again.

The node gets a state folder of its own, for its token, its log and the marks by which `rfuav down` finds its processes. Everything that
the service keeps stays with the head; its data roots and its models must be there under the same paths, which is looked at here.
"""

import contextlib
import os
import shlex
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from actors.names import NAME_LABEL, SIMULATED_LABEL
from actors.presence import Presence
from cluster import signals
from cluster.bring_down import bring_down
from cluster.haproxy import COMMON
from cluster.lifetime import BringUpError, Say, announced, as_failure_of, leave_ray, nothing_left_behind, prepare_state_folder
from cluster.private_files import write_private
from cluster.processes import find_processes, instance_mark, is_named
from cluster.ray_head import (
    RayStart,
    make_temp_dir,
    node_environment,
    start_command,
    temp_dir_of,
    token_path,
    use_token,
)
from cluster.run_record import NodeRecord, locked, read_record, write_node
from configs.settings import SettingsError

if TYPE_CHECKING:
    from actors.home import Home

#: How long the accountant may take to know the devices of this node.
_DEVICES_S: Final = 90.0
_PAUSE_S: Final = 0.5
#: How often a ``join`` in the foreground looks whether its node lives.
_LOOK_S: Final = 2.0
_CONNECT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Joining:
    """What a machine joins, and as what.

    Attributes:
        head: host:port of the service's Ray.
        state_dir: this node's own state folder.
        token_file: a copy of the head's token; None where the state folder has it from an earlier time.
        simulate_gpus: logical GPUs that compute on the CPU; None counts the real ones.
        name: of the node, the same each time, so that its devices keep their names; "" makes one of the machine's.
    """

    head: str
    state_dir: Path
    token_file: Path | None = None
    simulate_gpus: int | None = None
    name: str = ""

    @property
    def node_name(self) -> str:
        """The name, made of the machine's and the state folder's mark where none was given."""
        return self.name or f"{socket.gethostname()[:40]}-{instance_mark(self.state_dir)[:4]}"


def join(wanted: Joining, *, detach: bool, say: Say) -> None:
    """Start a node of the service on this machine and, unless ``detach``, stay until SIGINT or SIGTERM; then end it.

    Raises:
        SettingsError: the address, the token or the folders cannot be used; the text says the remedy.
        StateFolderBusyError: another command works on the state folder.
        BringUpError: something did not start, or the node ended by itself; everything was ended.
    """
    _refuse_unreachable(wanted.head)
    prepare_state_folder(wanted.state_dir)
    with locked(wanted.state_dir), signals.stop_as_exception():
        _refuse_service(wanted.state_dir)
        with announced(wanted.state_dir), nothing_left_behind(wanted.state_dir, say):
            bring_down(wanted.state_dir)
            _take_token(wanted)
            node = _start_node(wanted, say)
            devices = _settle(wanted)
            write_node(wanted.state_dir, NodeRecord(wanted.head, wanted.node_name, devices, node))
            say(f"JOINED {wanted.head} with {', '.join(devices)}")
            if not detach:
                _stay(node, wanted.state_dir)


def node_command(wanted: Joining, temp_dir: Path) -> list[str]:
    """The command that starts the node."""
    is_simulated = wanted.simulate_gpus is not None
    command = [*start_command(temp_dir), f"--address={wanted.head}", "--disable-usage-stats"]
    command.append(f"--labels={NAME_LABEL}={wanted.node_name},{SIMULATED_LABEL}={is_simulated}")
    return [*command, f"--num-gpus={wanted.simulate_gpus}"] if is_simulated else command


def _start_node(wanted: Joining, say: Say) -> Presence:
    use_token(wanted.state_dir)
    say(f"joining the service at {wanted.head} as {wanted.node_name}; Ray's logs are in {temp_dir_of(wanted.state_dir)}")
    with as_failure_of("Ray", wanted.state_dir / "logs" / "ray_start.log"):
        environ = node_environment(os.environ, wanted.state_dir) | dict(COMMON)
        return RayStart(wanted.state_dir, node_command(wanted, make_temp_dir(wanted.state_dir)), environ).wait_for("raylet")


def _settle(wanted: Joining) -> tuple[str, ...]:
    """Look whether the service's folders are here, and wait until it knows this node's devices; returns these."""
    from cluster import compose  # noqa: PLC0415 (importing Ray takes seconds)

    log = wanted.state_dir / "logs" / "ray_start.log"
    with as_failure_of("the service", log), signals.kept():
        compose.connect(wanted.head)
    with as_failure_of("the service", log):
        home = compose.ask_home()
        refuse_lone_service(home, wanted.head)
        refuse_missing_folders(home)
        deadline = time.monotonic() + _DEVICES_S
        pause = threading.Event()
        while not (devices := compose.devices_of(wanted.node_name)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the accountant does not know the devices of {wanted.node_name} after {_DEVICES_S:.0f} s")
            pause.wait(_PAUSE_S)
    leave_ray()
    return tuple(devices)


def refuse_lone_service(home: "Home", head: str) -> None:
    """Refuse where the service was not started for several nodes; until then its accountant leaves this node alone.

    Raises:
        SettingsError: says how to start it so.
    """
    if home.settings.nodes != "several":
        raise SettingsError(
            f"nodes: the service at {head} is one of a single machine; start it with `rfuav up --nodes several` (or RFUAV_NODES=several) "
            "and join it then"
        )


def refuse_missing_folders(home: "Home") -> None:
    """Refuse where attempts and replicas on this machine would not find their files.

    Raises:
        SettingsError: names a folder that is not here.
    """
    for folder in (*home.settings.data_roots, home.settings.state_dir):
        if not folder.is_dir():
            raise SettingsError(
                f"{folder} of the service is not on this machine; mount it here under the same path: every node reads and writes the "
                "data roots, and reads the models in the state folder"
            )


def _take_token(wanted: Joining) -> None:
    target = token_path(wanted.state_dir)
    source = wanted.token_file
    if source is None and not target.is_file():
        raise SettingsError(
            "token: the head's token is needed; copy the file ray_token of its state folder to this machine and name it with --token-file"
        )
    if source is None:
        return
    try:
        token = source.read_text(encoding="ascii").strip()
        if not token:
            raise SettingsError(f"token: {source} is empty; it must be a copy of ray_token in the head's state folder")
        if source.resolve() != target.resolve():
            write_private(target, token)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"token: {source} cannot be used: {error}") from None


def _refuse_unreachable(head: str) -> None:
    host, _, port = head.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsError(f"{head!r} is no HOST:PORT of a service's Ray; `rfuav status` on its machine shows it as ray_address")
    try:
        with contextlib.closing(socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S)):
            return
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"{head}: {error}; is the service up there (`rfuav status` shows its ray_address), and may this machine reach its ports?"
        ) from None


def _refuse_service(state_dir: Path) -> None:
    is_joined = any(is_named(process, "raylet") for process in find_processes(instance_mark(state_dir)))
    if is_joined or (state_dir / "store.sqlite").exists() or read_record(state_dir) is not None:
        raise SettingsError(
            f"state_dir: {state_dir} is used by a service or by another node; give this node a folder of its own with --state-dir "
            f"(`rfuav down --state-dir {shlex.quote(str(state_dir))}` ends what is there)"
        )


def _stay(node: Presence, state_dir: Path) -> None:
    """Wait for a signal (StopRequested), or for the end of the node, which is a failure: often it is the head's end."""
    pause = threading.Event()
    while node.process() is not None:
        pause.wait(_LOOK_S)
    raise BringUpError("Ray", "this node ended by itself; is the service still up?", state_dir / "logs" / "ray")
