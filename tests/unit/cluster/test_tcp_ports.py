"""Which ports count as free, with real sockets."""

import socket

from cluster.ports import can_listen, find_free_port


def test_a_port_with_a_listener_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not can_listen("127.0.0.1", server.getsockname()[1])


def test_a_port_is_free_right_after_its_connections_were_closed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()  # the server's side closes first and lingers in TIME_WAIT
    assert can_listen("127.0.0.1", port)


def test_a_found_port_and_its_neighbour_are_free():
    port = find_free_port()
    assert can_listen("127.0.0.1", port)
    assert can_listen("127.0.0.1", port + 1)
