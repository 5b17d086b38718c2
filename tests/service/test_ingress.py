"""The ingress after its process was killed, with clients that were connected to it."""

import json
import os
import signal
import time

import httpx


def test_a_killed_ingress_answers_again_on_its_port_though_old_connections_linger(service):
    lingering = [httpx.Client(base_url=service.url) for _ in range(3)]
    assert all(client.get("/api/v1/info").status_code == 200 for client in lingering)
    pid = json.loads((service.state_dir / "run/ingress.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    lingering.pop().close()  # the server's side of it waits in the kernel for a minute
    end = time.monotonic() + 30
    while not answers(service.url):
        assert time.monotonic() < end, "no answer 30 s after the end of the ingress"
    for client in lingering:
        client.close()


def answers(url):
    try:
        return httpx.get(f"{url}/api/v1/health", timeout=5).json()["status"] == "healthy"
    except (httpx.HTTPError, ValueError, KeyError):
        return False
