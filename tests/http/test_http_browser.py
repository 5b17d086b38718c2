"""The visitor's browser as attacker: pages of others, foreign names, guessing, keeping and framing of answers."""

import asyncio

import pytest

from serve_app.security import host_name, is_loopback
from tests.http import bodies
from tests.http.callers import error_code
from tests.http.stream import open_stream

pytestmark = pytest.mark.anyio


class TestBrowserAsAttacker:
    OWN = "http://127.0.0.1:8000"

    @pytest.mark.parametrize(
        "headers",
        [
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:9000"},
            {"origin": "http://localhost:8000"},
            {"origin": "http://127.0.0.1:8000.evil.example"},
            {"sec-fetch-site": "cross-site"},
            {"origin": OWN, "sec-fetch-site": "cross-site"},
        ],
    )
    async def test_pages_of_others_change_nothing(self, client, tasks, headers):
        answer = await client.post("/api/v2/training/start", json=bodies.training(), headers=headers)
        assert error_code(answer) == (403, "origin_not_allowed")
        assert not tasks.submissions

    @pytest.mark.parametrize("headers", [{}, {"origin": OWN}, {"origin": OWN, "sec-fetch-site": "same-origin"}])
    async def test_programs_and_own_pages_may(self, client, headers):
        assert (await client.post("/api/v2/training/start", json=bodies.training(), headers=headers)).status_code == 200

    async def test_a_foreign_page_reads_nothing_but_a_link_may_be_followed(self, client):
        foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        assert (await client.get("/api/v2/tasks", headers=foreign)).status_code == 403
        assert (await client.get("/docs", headers=foreign | {"sec-fetch-mode": "navigate"})).status_code == 200

    async def test_a_configured_origin_may(self, client_for):
        headers = {"origin": "http://page.example", "sec-fetch-site": "cross-site"}
        async with client_for(cors_origins=("http://page.example",)) as client:
            answer = await client.post("/api/v2/training/start", json=bodies.training(), headers=headers)
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "http://page.example"
            other = await client.post("/api/v2/training/start", json=bodies.training(), headers={"origin": "http://other.example"})
            assert other.status_code == 403

    async def test_any_origin_means_any_page_that_sends_a_key(self, client_for):
        headers = {"origin": "http://page.example", "sec-fetch-site": "cross-site"}
        async with client_for(cors_origins=("*",)) as client:
            for sent, status in ((headers, 403), (headers | {"x-api-key": "of whatever worth"}, 200)):
                assert (await client.get("/api/v2/tasks", headers=sent)).status_code == status
                answer = await client.post("/api/v2/training/start", json=bodies.training(), headers=sent)
                assert answer.status_code == status

    async def test_a_configured_page_may_ask_before_it_sends_a_key(self, client_for):
        ask = {
            "origin": "http://page.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-api-key",
        }
        async with client_for(cors_origins=("http://page.example",), keys=True) as client:
            answer = await client.options("/api/v2/training/start", headers=ask | {"sec-fetch-site": "cross-site"})
        assert answer.status_code == 200
        assert "x-api-key" in answer.headers["access-control-allow-headers"]

    async def test_further_names_of_the_machine_can_be_configured(self, client_for):
        async with client_for(host="0.0.0.0", host_names=("GPU.lab", "192.168.1.5", "[fe80::7]")) as client:
            for host, status in (
                ("gpu.lab:8000", 200),
                ("192.168.1.5:8000", 200),
                ("[fe80::7]:8000", 200),
                ("evil.lab", 400),
                ("0.0.0.0", 400),
            ):
                answer = await client.get("/api/v1/info", headers={"host": host})
                assert answer.status_code == status
        assert "RFUAV_HOST_NAMES" in answer.text

    @pytest.mark.parametrize("path", ["/", "/api/v2/tasks", "/api/v9/nothing", "/api/v2/tasks/t1/logs"])
    async def test_data_is_neither_guessed_at_nor_kept_nor_framed(self, client, path):
        headers = (await client.get(path)).headers
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "sandbox" in headers["content-security-policy"]

    @pytest.mark.usefixtures("keys")
    async def test_refusals_carry_the_headers_too(self, client):
        for headers in ({}, {"host": "evil.example"}, {"sec-fetch-site": "cross-site"}):
            assert (await client.get("/api/v2/tasks", headers=headers)).headers["x-content-type-options"] == "nosniff"

    async def test_pages_load_only_what_they_need(self, client):
        policy = (await client.get("/docs")).headers["content-security-policy"]
        assert "http" not in policy
        assert "script-src 'self';" in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy

    async def test_streams_keep_their_own_word_on_caching(self, app, client):
        await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
        async with open_stream(app, "/api/v2/tasks/t1/logs") as viewer:
            await asyncio.wait_for(asyncio.shield(until_begun(viewer)), 5)
            assert viewer.headers["cache-control"] == "no-cache"
            assert viewer.headers["x-content-type-options"] == "nosniff"

    async def test_addresses_of_this_machine_are_known_in_every_form(self):
        assert all(map(is_loopback, ("127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost")))
        assert not any(map(is_loopback, ("::ffff:10.0.0.1", "10.0.0.1", "", "evil.localhost.example")))
        assert host_name("[::1]:80") == "::1"


async def until_begun(viewer):
    while not viewer.status:  # noqa: ASYNC110 - the application tells nobody
        await asyncio.sleep(0)
