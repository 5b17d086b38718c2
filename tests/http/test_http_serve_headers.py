"""What Serve reads of a request before the application does."""

import json

import pytest

from serve_app.serve_headers import WithoutOrders

pytestmark = pytest.mark.anyio


async def headers_behind(headers):
    """What arrives behind the layer."""
    seen = []

    async def app(scope, _receive, _send):
        seen.extend(scope["headers"])

    await WithoutOrders(app)({"type": "http", "headers": headers}, None, None)
    return seen


@pytest.mark.parametrize(
    "order",
    [
        (b"x-request-timeout-seconds", b"0.001"),
        (b"x-request-timeout-seconds", b"\xff"),
        (b"x-request-disconnect-disabled", b"?1"),
        (b"serve_multiplexed_model_id", b"\xff"),
        (b"serve-multiplexed-model-id", b"m"),
        (b"x-session-id", b"\xff"),
        (b"x-request-id", b"\xff"),
    ],
)
async def test_headers_that_serve_would_obey_or_fail_on_do_not_reach_it(order):
    assert await headers_behind([(b"host", b"localhost"), order]) == [(b"host", b"localhost")]


async def test_all_other_headers_stay_as_they_are():
    headers = [(b"host", b"localhost"), (b"x-request-id", b"a1"), (b"x-api-key", b"\xff"), (b"x-api-key", b"k")]
    assert await headers_behind(headers) == headers


@pytest.mark.parametrize("root", ["", "/below"])
async def test_what_serve_would_tell_of_its_applications_is_not_there(root):
    sent = []

    async def app(_scope, _receive, _send):
        raise AssertionError("the request went on")

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": f"{root}/-/routes", "root_path": root, "headers": []}
    await WithoutOrders(app)(scope, None, send)
    assert sent[0]["status"] == 404
    assert json.loads(sent[1]["body"])["code"] == "not_found"


async def test_the_end_of_the_application_passes():
    async def app(scope, _receive, _send):
        assert scope == {"type": "lifespan"}

    await WithoutOrders(app)({"type": "lifespan"}, None, None)
