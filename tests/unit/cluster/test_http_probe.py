"""What bring-up makes of the service's answers, against a real HTTP server."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cluster.http_probe import describe_devices, get_json, probe_health
from cluster.ports import find_free_port
from cluster.service_errors import KeyNeededError

GPU = {"id": 0, "name": "simulated GPU", "total_memory_gb": 24.0, "free_memory_gb": 20.5, "simulated": True}


@pytest.fixture
def answers() -> dict[str, object]:
    return {}


@pytest.fixture
def url(answers) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers.get(self.path, 404)
            status = answer if isinstance(answer, int) else 200
            body = json.dumps(self.headers["X-API-Key"] if answer == "key" else answer).encode()
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_a_healthy_service_is_healthy(url, answers):
    answers["/api/v1/health"] = {"status": "healthy", "components": {}}
    assert probe_health(url).is_healthy


def test_the_parts_that_are_ill_are_named(url, answers):
    parts = {"accountant": {"state": "healthy"}, "log_hub": {"state": "unhealthy"}}
    answers["/api/v1/health"] = {"status": "degraded", "components": parts}
    health = probe_health(url)
    assert (health.status, health.reason) == ("degraded", "log_hub is unhealthy")


@pytest.mark.parametrize("body", [[], "word", None, {}])
def test_a_strange_answer_is_not_health(url, answers, body):
    answers["/api/v1/health"] = body
    assert not probe_health(url).is_healthy


def test_an_error_and_silence_are_unreachable(url):
    assert probe_health(url).status == "unreachable"
    assert probe_health(f"http://127.0.0.1:{find_free_port()}/").status == "unreachable"


def test_gpus_are_summed_up_and_simulated_ones_say_so(url, answers):
    answers["/api/v2/resources/gpu"] = {"devices": [GPU]}
    assert describe_devices(url) == ["GPU cuda:0: simulated GPU, 24 GB, 20.5 GB free (simulated: computes on the CPU)"]
    answers["/api/v2/resources/gpu"] = {"devices": []}
    assert describe_devices(url) == ["GPUs: none; everything computes on the CPU"]


def test_a_service_that_wants_a_key_says_how_to_send_one(url, answers):
    answers["/api/v2/resources/gpu"] = 401
    assert "RFUAV_API_KEY" in describe_devices(url)[0]
    with pytest.raises(KeyNeededError, match="RFUAV_API_KEY"):
        get_json(url, "api/v2/resources/gpu")


def test_a_key_is_sent_where_one_is_given(url, answers):
    answers["/x"] = "key"
    assert get_json(url, "x", api_key="rfuav_1_2") == "rfuav_1_2"
