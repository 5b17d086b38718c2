"""Which TCP ports can be listened on. Knows nothing of who wants them."""

import random
import socket
from typing import Final

#: Below the range that the kernel gives to outgoing connections, so that a port found free is still free seconds later.
_QUIET_RANGE: Final = range(20_000, 32_000)
_TRIES: Final = 200


def can_listen(host: str, port: int) -> bool:
    """Whether nobody listens on a port now and this process may."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections that linger after a server's end do not hinder a new server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def find_free_port(host: str = "127.0.0.1") -> int:
    """Find a port that nobody listens on, with a free neighbour above it.

    Raises:
        OSError: no such pair was found.
    """
    chooser = random.SystemRandom()
    for _ in range(_TRIES):
        port = chooser.choice(_QUIET_RANGE)
        if can_listen(host, port) and can_listen(host, port + 1):
            return port
    raise OSError(f"no free pair of ports found on {host} between {_QUIET_RANGE.start} and {_QUIET_RANGE.stop}")
