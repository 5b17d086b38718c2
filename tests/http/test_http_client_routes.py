"""The Python client's table of routes beside the service's own: nothing is missing in either."""

import re
from contextlib import suppress

import httpx

from cluster.client import ApiError, Client, contract
from cluster.client.operation import Operation
from tests.http import bodies
from tests.http.conftest import BASE_URL

#: A call of every method that sends something.
CALLS = {
    "train": (bodies.training(), {}),
    "infer": (bodies.inference(), {}),
    "infer_batch": (bodies.batch(), {}),
    "evaluate": (bodies.evaluation(), {}),
    "split": (bodies.split(), {}),
    "augment": (bodies.augment(), {}),
    "crop": (bodies.crop(), {}),
    "spectrogram": (bodies.spectrogram(), {}),
    "explain": ("training", bodies.training()),
    "task_page": (),
    "tasks": (),
    "data": (),
    "data_entries": (),
    "upload": (b"x", "a.bin"),
    "read_file": ("t1", "a/b.csv"),
    "download": ("t1", "a/b.csv", "/nowhere/b.csv"),
    "set_priority": ("t1", 2),
    "predict": (b"\x89PNG",),
    "models": (),
    "version": ("m", 1),
    "delete_version": ("m", "old"),
    "register": ({"name": "m", "task_id": "t1"},),
    "promote": ("m", "production", 1),
    "remove_alias": ("m", "production"),
    "set_limits": ({"cuda": {"training": 2}},),
    "add_key": ("me", "viewer"),
}
NOTHING_NAMED = (
    "resources",
    "gpus",
    "cpu",
    "check_books",
    "about",
    "health",
    "info",
    "prometheus",
    "keys",
    "audit",
    "events",
    "compare",
)
OF_ONE = (
    "task", "wait", "log", "follow_log", "metrics", "follow_metrics", "confusion_matrix", "evaluation", "preprocessing", "results",
    "file_results", "batch", "wait_for_batch", "cancel_batch", "cancel", "stop", "kill", "delete", "why", "history", "leases",
    "stream_ticket", "files", "model", "delete_model", "revoke_key",
)  # fmt: skip
SAMPLES = {name: arguments[:1] if arguments[1:] == ({},) else arguments for name, arguments in CALLS.items()}
SAMPLES |= dict.fromkeys(NOTHING_NAMED, ()) | dict.fromkeys(OF_ONE, ("t1",))
NO_CALLS = {"run", "iterate", "close"}

#: Routes that no method needs: each does what another does, or speaks to programs that have clients of their own.
LEFT_OUT = {
    ("GET", "/api/v2/training/{task_id}"): "task() looks at tasks of every kind",
    ("GET", "/api/v2/inference/{task_id}"): "task()",
    ("GET", "/api/v2/training/{task_id}/logs"): "follow_log() follows tasks of every kind",
    ("GET", "/api/v2/preprocessing/{task_id}/logs"): "follow_log()",
    ("POST", "/api/v2/preprocessing/{task_id}/cancel"): "cancel() ends tasks of every kind",
}
#: The Open Inference Protocol: Triton's and KServe's clients speak it.
PROTOCOL = re.compile(r"/v2(/|$)")
#: The web page's own files, and the description that other programs read.
PAGE = re.compile(r"/ui(/|$)|/docs|/redoc|/openapi.json")


def called_routes():
    """The method and the path of every request that a call of each of the client's methods makes."""
    seen = {}

    def refuse(request):
        seen.setdefault(name, []).append((request.method, request.url.path))
        return httpx.Response(404, json={"code": "none", "message": "none"})

    with Client(BASE_URL, transport=httpx.MockTransport(refuse)) as client:
        for name, arguments in SAMPLES.items():
            with suppress(ApiError):
                next(iter(getattr(client, name)(*arguments)), None)
    return seen


def documented(app):
    """The routes of the service's own document that are not outdated, as (method, path)."""
    paths = app.openapi()["paths"].items()
    return {(method.upper(), path) for path, each in paths for method, route in each.items() if not route.get("deprecated")}


def matches(route, request):
    pattern = re.escape(route[1]).replace(r"\{path\}", ".+")
    return route[0] == request[0] and re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), request[1])


class TestContract:
    def test_every_method_has_a_call_here(self):
        public = {name for name, each in vars(Client).items() if callable(each) and not name.startswith("_")}
        assert public - NO_CALLS == set(SAMPLES)

    def test_every_route_of_the_service_is_reached_by_some_method(self, built_app, tmp_path, monkeypatch):
        monkeypatch.setitem(SAMPLES, "download", ("t1", "a/b.csv", tmp_path))
        seen = called_routes()
        assert set(seen) == set(SAMPLES), "a method that sends nothing"
        requests = {request for each in seen.values() for request in each}
        routes = {route for route in documented(built_app) if not PROTOCOL.match(route[1]) and not PAGE.match(route[1])}
        missing = {route for route in routes if not any(matches(route, request) for request in requests)}
        assert missing - set(LEFT_OUT) == set(), "the client cannot call these"
        assert set(LEFT_OUT) <= routes, "these are left out for nothing"

    def test_every_route_of_the_clients_table_is_one_of_the_service(self, built_app):
        table = {(each.method, each.path) for each in vars(contract).values() if isinstance(each, Operation)}
        assert table <= documented(built_app)
