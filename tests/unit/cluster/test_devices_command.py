"""The command ``rfuav devices`` over a real socket, with answers that a service would give."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from typer.testing import CliRunner

from actors.core.model import GIB, LeaseRequest, WorkKind
from actors.messages import BooksReport, Difference, ResourceView
from cluster.cli import app
from cluster.commands.exits import ExitCode
from serve_app.shape_resources import check_response, resource_response
from tests.fakes import START, make_device_view, make_lease

AGREE = BooksReport(True, (), START)
DIFFER = BooksReport(False, (Difference("lease-1", "process 12", "no such process"),), START)


def make_view(waiting=2):
    request = LeaseRequest("t1.1", "t1", WorkKind.TRAINING, "cuda", 5, START)
    lease = make_lease(request, "cuda:0", memory_bytes=8 * GIB)
    devices = (
        make_device_view("cuda:0", leases=(lease,), allocated_bytes=9 * GIB),
        make_device_view("cuda:1", simulated=True, is_present=False),
        make_device_view("cpu:0"),
    )
    return ResourceView(START, devices, waiting=waiting, oldest_wait_s=12.0 if waiting else 0.0)


@pytest.fixture
def serve():
    """Start a server that answers as the service would with these books; returns its URL."""
    servers = []

    def start(view=None, report=AGREE, status=200, body=b""):
        view = view or make_view()
        answers = {
            "/api/v2/resources": resource_response(view),
            "/api/v2/resources/check": check_response(report),
        }

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body or answers[self.path].model_dump_json().encode())

            def log_message(self, *_):
                pass

        servers.append(server := HTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def run(*args, **options):
    return CliRunner().invoke(app, ["devices", *args], **options)


def test_the_table_tells_every_device_with_limits_memory_and_holders(serve):
    result = run("--url", serve())
    assert result.exit_code == 0, result.output
    heading, first, second, third, line = result.output.splitlines()
    assert heading.split()[0] == "DEVICE"
    for words in ("cuda:0  Some GPU", "0.75", "0.15", "training 1/1, inference 0/3", "9/24", "t1 (training 0.15, 8 GB)", "ok"):
        assert words in first
    assert "Some GPU (simulated)" in second
    assert "its node is gone" in second
    assert third.startswith("cpu:0")
    assert line == "2 waiting, the oldest for 12 s"


def test_columns_stand_under_their_headings(serve):
    heading, *rows = run("--url", serve(make_view(waiting=0))).output.splitlines()[:-1]
    place = heading.index("STATE")
    assert [row[place - 1] for row in rows] == [" "] * 3
    assert [row[place:] for row in rows] == ["ok", "its node is gone", "ok"]


@pytest.mark.parametrize(
    ("report", "code", "words"),
    [(AGREE, 0, "agree"), (DIFFER, ExitCode.NOT_UP, "lease-1: the ledger says process 12, found no such")],
)
def test_a_check_tells_what_differs_by_its_exit_code_too(serve, report, code, words):
    result = run("--check", "--url", serve(report=report))
    assert result.exit_code == code
    assert words in result.output


def test_scripts_get_json_and_the_same_exit_code(serve):
    url = serve(report=DIFFER)
    plain, checked = run("--json", "--url", url), run("--json", "--check", "--url", url)
    assert (plain.exit_code, checked.exit_code) == (0, ExitCode.NOT_UP)
    body = json.loads(checked.output)
    assert [each["device"] for each in body["devices"]] == ["cuda:0", "cuda:1", "cpu:0"]
    assert (body["queue"]["length"], body["check"]["agrees"]) == (2, False)
    assert json.loads(plain.output)["check"] is None


def test_a_quarantined_device_says_why(serve):
    from cluster.commands.device_table import _state

    assert _state({"present": True, "quarantine": "3 GB are not back"}) == "quarantined: 3 GB are not back"


def test_the_url_may_come_from_the_environment(serve):
    assert run(env={"RFUAV_URL": serve()}).exit_code == 0


def test_where_nobody_answers_the_remedy_is_named():
    result = run("--url", "http://127.0.0.1:1")
    assert result.exit_code == ExitCode.NOT_UP
    assert "http://127.0.0.1:1" in result.stderr
    assert "rfuav up" in result.stderr


@pytest.mark.parametrize(("status", "code"), [(503, ExitCode.BUSY), (401, ExitCode.REFUSED), (500, ExitCode.NOT_UP)])
def test_a_refusal_ends_the_command_as_it_ends_any_other(serve, status, code):
    assert run("--url", serve(status=status)).exit_code == code


@pytest.mark.parametrize("options", [(), ("--json",), ("--check",)])
def test_another_service_is_told_in_plain_words(serve, options):
    result = run("--url", serve(body=b"{}"), *options)
    assert result.exit_code == ExitCode.NOT_UP
    assert "another service" in result.stderr
    assert not isinstance(result.exception, KeyError)


def test_a_service_behind_tls_may_be_named():
    result = run("--url", "https://127.0.0.1:1")
    assert result.exit_code == ExitCode.NOT_UP
    assert "no answer from https://127.0.0.1:1" in result.stderr


@pytest.mark.parametrize("url", ["localhost", "ftp://localhost", "http://", "http://localhost:many", "http://localhost:99999"])
def test_what_is_no_url_of_a_service_is_refused(url):
    result = run("--url", url)
    assert result.exit_code == ExitCode.BAD_INPUT
    assert "RFUAV_URL" in result.stderr
