"""Who may do what, over every route there is; keys, tickets, the audit log; and the visitor's browser as attacker."""

import asyncio
import hashlib

import pytest
from fastapi.routing import APIRoute

from actors.access import KeyTable, Role, mint_key
from configs.settings import Settings
from serve_app.access import GuardedRoute, declared_access
from serve_app.app import all_routes, create_app
from serve_app.context import Ports
from serve_app.key_gate import OpenPaths
from serve_app.schemas.access import AuditResponse, KeyListResponse, KeyResponse, NewKeyResponse, StreamTicketResponse
from serve_app.schemas.system import BriefHealthResponse, HealthResponse
from serve_app.schemas.tasks import ErrorResponse
from serve_app.security import host_name, is_loopback
from serve_app.tickets import TICKET_LIFE_S, TicketOffice
from tests.fakes import START, FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks, make_line
from tests.http import bodies
from tests.http.stream import open_stream

pytestmark = pytest.mark.anyio

#: The exceptions from the rule: who only reads is a viewer, who changes something an operator.
OPEN = {("GET", "/"), ("GET", "/api/v1/health")}
FOR_ADMINS = {
    ("POST", "/api/v2/resources/config"),
    ("GET", "/api/v2/keys"),
    ("POST", "/api/v2/keys"),
    ("DELETE", "/api/v2/keys/{key_id}"),
    ("GET", "/api/v2/audit"),
}
POSTS_OF_VIEWERS = {("POST", "/api/v2/tasks/explain"), ("POST", "/api/v2/stream-tickets")}


def wanted_role(method, path):
    """The least role that a route should demand."""
    if (method, path) in OPEN:
        return None
    if (method, path) in FOR_ADMINS:
        return Role.ADMIN
    return Role.VIEWER if method == "GET" or (method, path) in POSTS_OF_VIEWERS else Role.OPERATOR


def list_routes():
    """Every (method, path, route) of the application but the pages of the documentation."""
    app = create_app(Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess()), Settings())
    return [(method, route.path, route) for route in all_routes(app) if isinstance(route, APIRoute) for method in route.methods]


ROUTES = list_routes()
ROUTE_IDS = [f"{method} {path}" for method, path, _ in ROUTES]
PATHS = [(method, path) for method, path, _ in ROUTES]


@pytest.fixture
async def keys(access):
    """A key of each role, by role."""
    new = {role: mint_key(f"the {role}", role, now=START) for role in Role}
    await access.put(KeyTable(1, {each.key.key_id: each.key for each in new.values()}))
    return {role: each.token for role, each in new.items()}


def sent(token):
    return {"X-API-Key": token}


def error_code(answer):
    return (answer.status_code, ErrorResponse(**answer.json()).code)


async def call(client, method, path, **options):
    """Call a route with ids that exist nowhere; a stream would be followed to its end, so an array is asked for."""
    url = path.replace("{task_id}", "t1").replace("{key_id}", "00000000").replace("{batch_id}", "b1").replace("{path}", "f")
    params = {"format": "json"} if path.endswith("/logs") else {}
    return await client.request(method, url, params=params, **options)


class TestRoles:
    @pytest.mark.parametrize(("method", "path", "route"), ROUTES, ids=ROUTE_IDS)
    async def test_every_route_declares_the_role_that_it_should(self, method, path, route):
        assert isinstance(route, GuardedRoute), "make it a JsonRoute or a GuardedRoute"
        assert declared_access(route.endpoint) is not None, "declare @requires(Role...) or @open_to_all"
        assert route.access.role == wanted_role(method, path)
        assert bool(route.access.action) == (method != "GET" and (method, path) not in POSTS_OF_VIEWERS)

    @pytest.mark.parametrize(("method", "path"), PATHS, ids=ROUTE_IDS)
    async def test_every_role_may_do_what_it_covers_and_nothing_else(self, client, keys, method, path):
        wanted = wanted_role(method, path)
        for role in Role:
            answer = await call(client, method, path, headers=sent(keys[role]))
            if wanted is None or role.covers(wanted):
                assert answer.status_code not in (401, 403), answer.text
            else:
                assert error_code(answer) == (403, "role_too_low")
                assert role in answer.json()["message"]

    @pytest.mark.usefixtures("keys")
    @pytest.mark.parametrize(("method", "path"), PATHS, ids=ROUTE_IDS)
    async def test_without_a_key_only_open_routes_answer(self, client, tasks, method, path):
        wrong = f"rfuav_00000000_{'A' * 43}"
        for headers in ({}, sent(wrong), sent(""), {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer"}):
            answer = await call(client, method, path, headers=headers)
            if wanted_role(method, path) is None:
                assert answer.status_code == 200
            else:
                assert error_code(answer) == (401, "key_required")
                assert answer.headers["www-authenticate"].startswith("Bearer")
        assert not tasks.submissions

    @pytest.mark.parametrize(("method", "path"), PATHS, ids=ROUTE_IDS)
    async def test_the_openapi_document_tells_of_keys_and_refusals(self, built_app, method, path):
        operation = built_app.openapi()["paths"][path.replace(":path}", "}")][method.lower()]
        is_open = wanted_role(method, path) is None
        assert {"401", "403"} & set(operation["responses"]) == ({"403"} if is_open else {"401", "403"})
        assert ({"ApiKey": []} in operation["security"]) is not is_open
        assert ({"StreamTicket": []} in operation["security"]) is path.endswith("/logs")

    async def test_a_route_that_declares_nothing_is_for_admins(self):
        async def endpoint():
            pass

        assert GuardedRoute("/new", endpoint).access.role is Role.ADMIN

    async def test_unknown_routes_and_methods_are_told_only_to_those_with_a_key(self, client, keys):
        assert [(await client.get(path)).status_code for path in ("/api/v9/no", "/api/v1/health/")] == [401] * 2
        assert (await client.put("/api/v2/tasks")).status_code == 401
        viewer = sent(keys[Role.VIEWER])
        assert (await client.get("/api/v9/no", headers=viewer)).status_code == 404
        assert (await client.put("/api/v2/tasks", headers=viewer)).status_code == 405

    async def test_the_role_is_checked_before_the_body_is_read(self, client, keys):
        viewer = sent(keys[Role.VIEWER]) | {"content-type": "text/plain"}
        assert (await client.post("/api/v2/training/start", content=b"x" * 2_000_000, headers=viewer)).status_code == 403
        assert (await client.post("/api/v2/training/start", content=b"x" * 2_000_000)).status_code == 401

    @pytest.mark.usefixtures("keys")
    async def test_pages_are_open_and_files_below_them_too(self, client, built_app):
        assert [(await client.get(path)).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [200] * 3
        paths = OpenPaths(all_routes(built_app))
        assert "/docsx" not in paths
        assert "/api/v2/tasks" not in paths


class TestKeys:
    async def test_both_ways_of_sending_a_key_are_understood(self, client, keys):
        for headers in (sent(keys[Role.VIEWER]), {"Authorization": f"bearer {keys[Role.VIEWER]}"}):
            assert (await client.get("/api/v2/tasks", headers=headers)).status_code == 200

    async def test_a_key_with_one_wrong_character_is_no_key(self, client, keys):
        right = keys[Role.ADMIN]
        swapped = right[:-1] + ("A" if right[-1] != "A" else "B")
        other_id = right.replace(right.split("_")[1], keys[Role.VIEWER].split("_")[1])
        for wrong in (swapped, other_id, right[:-1], right + "A", right.upper(), "rfuav", "rfuav__", "\xff" * 50):
            answer = await client.get("/api/v2/tasks", headers={"X-API-Key": wrong.encode("latin-1")})
            assert error_code(answer) == (401, "key_required")

    async def test_without_keys_this_machine_may_do_everything_and_others_nothing(self, app, client):
        assert (await client.get("/api/v2/keys")).status_code == 200
        for address, status in (("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("10.0.0.7", 401), ("::2", 401)):
            assert await status_for(app, "/api/v2/tasks", client=(address, 5)) == status
        assert await status_for(app, "/api/v2/tasks", client=None) == 401
        assert await status_for(app, "/api/v1/health", client=("10.0.0.7", 5)) == 200

    async def test_a_key_is_shown_once_and_works_at_once(self, client, keys):
        admin = sent(keys[Role.ADMIN])
        answer = await client.post("/api/v2/keys", json={"name": " cam 1 ", "role": "viewer"}, headers=admin)
        new = NewKeyResponse(**answer.json())
        assert (new.name, new.role, new.key.split("_")[1]) == ("cam 1", Role.VIEWER, new.key_id)
        assert (await client.get("/api/v2/tasks", headers=sent(new.key))).status_code == 200
        listed = (await client.get("/api/v2/keys", headers=admin)).text
        secret = new.key.split("_", 2)[2]
        assert new.key_id in listed
        assert secret not in listed
        assert hashlib.sha256(new.key.encode()).hexdigest() not in listed
        assert [key.name for key in KeyListResponse.model_validate_json(listed).keys] == [
            "the viewer",
            "the operator",
            "the admin",
            "cam 1",
        ]

    async def test_a_revoked_key_is_refused_at_once(self, client, keys):
        admin, key_id = sent(keys[Role.ADMIN]), keys[Role.VIEWER].split("_")[1]
        answer = await client.delete(f"/api/v2/keys/{key_id}", headers=admin)
        assert KeyResponse(**answer.json()).role is Role.VIEWER
        assert (await client.get("/api/v2/tasks", headers=sent(keys[Role.VIEWER]))).status_code == 401
        assert error_code(await client.delete(f"/api/v2/keys/{key_id}", headers=admin)) == (404, "key_not_found")

    async def test_the_last_admin_key_stays(self, client, keys):
        admin = keys[Role.ADMIN]
        answer = await client.delete(f"/api/v2/keys/{admin.split('_')[1]}", headers=sent(admin))
        assert error_code(answer) == (409, "last_admin_key")
        assert (await client.get("/api/v2/keys", headers=sent(admin))).status_code == 200

    async def test_changes_made_elsewhere_are_learned_without_a_request(self, app, client, keys, access):
        assert (await client.get("/api/v2/tasks", headers=sent(keys[Role.VIEWER]))).status_code == 200
        await access.put(KeyTable(2, {}))
        async with asyncio.timeout(5):
            while app.state.service.door.keys.current.version != 2:  # noqa: ASYNC110 - the application tells nobody
                await asyncio.sleep(0)
        assert (await client.get("/api/v2/keys")).status_code == 200

    @pytest.mark.parametrize(
        "body", [{"name": "x"}, {"name": "", "role": "viewer"}, {"name": "a\nb", "role": "viewer"}, {"name": "x", "role": "root"}]
    )
    async def test_a_wish_for_a_key_is_checked(self, client, keys, body):
        assert (await client.post("/api/v2/keys", json=body, headers=sent(keys[Role.ADMIN]))).status_code == 422

    async def test_nobody_is_let_in_before_the_keys_are_known(self, client, access):
        access.is_ready = False
        answer = await client.get("/api/v2/tasks")
        assert error_code(answer) == (503, "not_ready")
        assert BriefHealthResponse(**(await client.get("/api/v1/health")).json()).status == "healthy"

    async def test_known_keys_count_on_while_the_gatekeeper_is_away(self, client, keys, access):
        assert (await client.get("/api/v2/tasks", headers=sent(keys[Role.VIEWER]))).status_code == 200
        access.is_ready = False
        assert (await client.get("/api/v2/tasks", headers=sent(keys[Role.VIEWER]))).status_code == 200
        assert (await client.get("/api/v2/tasks")).status_code == 401

    async def test_health_tells_strangers_only_how_it_is(self, client, keys):
        brief = BriefHealthResponse(**(await client.get("/api/v1/health")).json())
        assert {each.state for each in brief.components.values()} == {"healthy", "not_deployed"}
        HealthResponse(**(await client.get("/api/v1/health", headers=sent(keys[Role.VIEWER]))).json())


class TestTickets:
    @pytest.fixture(autouse=True)
    async def _a_task(self, client, keys, tasks, logs):
        for task_id in ("t1", "t2"):
            await client.post("/api/v2/training/start", json=bodies.training(task_id=task_id), headers=sent(keys[Role.OPERATOR]))
            tasks.grant(task_id, "cuda:0" if task_id == "t1" else "cuda:1")
            await logs.write(task_id, make_line(f"line of {task_id}"))

    @pytest.fixture
    async def ticket(self, client, keys):
        answer = await client.post("/api/v2/stream-tickets", json={"task_id": "t1"}, headers=sent(keys[Role.VIEWER]))
        return StreamTicketResponse(**answer.json())

    async def test_a_ticket_opens_the_log_of_its_task(self, app, client, ticket):
        async with open_stream(app, ticket.path) as viewer:
            assert (await viewer.next_record())[1]["message"] == "line of t1"
        array = await client.get(f"/api/v2/training/t1/logs?format=json&ticket={ticket.ticket}")
        assert [line["message"] for line in array.json()] == ["line of t1"]

    @pytest.mark.parametrize("path", ["/api/v2/tasks/t2/logs", "/api/v2/tasks/t1", "/api/v2/tasks", "/metrics"])
    async def test_a_ticket_opens_nothing_else(self, client, ticket, path):
        answer = await client.get(path, params={"ticket": ticket.ticket, "format": "json"})
        assert error_code(answer) == (401, "key_required")

    async def test_a_ticket_makes_no_further_ticket_and_stops_nothing(self, client, ticket, tasks):
        params = {"ticket": ticket.ticket}
        assert (await client.post("/api/v2/stream-tickets", json={"task_id": "t1"}, params=params)).status_code == 401
        assert (await client.post("/api/v2/tasks/t1/cancel", params=params)).status_code == 401
        assert not (await tasks.get("t1")).state.is_final

    async def test_a_ticket_is_no_key(self, client, ticket):
        assert (await client.get("/api/v2/tasks/t1/logs?format=json", headers=sent(ticket.ticket))).status_code == 401

    async def test_a_wrong_key_is_not_mended_by_a_ticket(self, client, ticket):
        assert (await client.get(f"{ticket.path}&format=json", headers=sent("rfuav_x_y"))).status_code == 401

    async def test_a_ticket_ends_with_its_key(self, client, keys, ticket):
        await client.delete(f"/api/v2/keys/{keys[Role.VIEWER].split('_')[1]}", headers=sent(keys[Role.ADMIN]))
        assert (await client.get(f"{ticket.path}&format=json")).status_code == 401

    async def test_a_ticket_for_no_task_is_not_given(self, client, keys):
        answer = await client.post("/api/v2/stream-tickets", json={"task_id": "t9"}, headers=sent(keys[Role.VIEWER]))
        assert error_code(answer) == (404, "task_not_found")


class TestTicketOffice:
    async def test_a_ticket_is_read_until_it_expires(self):
        now = [START]
        office = TicketOffice(lambda: now[0])
        text, ticket = office.issue("t1", "k1")
        assert office.read(text) == ticket
        now[0] += TICKET_LIFE_S - 0.1
        assert office.read(text) == ticket
        now[0] += 0.1
        assert office.read(text) is None

    async def test_only_own_and_unchanged_tickets_are_read(self):
        office, other = TicketOffice(), TicketOffice()
        text, _ = office.issue("t1", "k1")
        forged, _ = other.issue("t1", "k1")
        content, _, signature = text.partition(".")
        second, _ = office.issue("t2", "k1")
        mixed = f"{second.partition('.')[0]}.{signature}"
        for wrong in (forged, mixed, content, f"{content}.", ".", "", "a.b", "\xff.\xff", f"{text}x", "é" * 2_000):
            assert office.read(wrong) is None


class TestAudit:
    async def entries(self, client, access, keys, count):
        async with asyncio.timeout(5):
            while len(access.entries) < count:  # noqa: ASYNC110 - entries are on their way and tell nobody
                await asyncio.sleep(0)
        answer = await client.get("/api/v2/audit", headers=sent(keys[Role.ADMIN]))
        return AuditResponse(**answer.json()).entries

    async def test_who_did_what_to_what_is_kept_newest_first(self, client, access, keys):
        operator, admin = sent(keys[Role.OPERATOR]), sent(keys[Role.ADMIN])
        await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"), headers=operator)
        await client.post("/api/v2/tasks/t1/priority", json={"priority": 1}, headers=operator)
        await client.post("/api/v2/inference/batch", json=bodies.batch(2), headers=operator)
        await client.post("/api/v2/tasks/t1/cancel", headers=operator)
        await client.post("/api/v2/tasks/t1/cancel", headers=operator)
        await client.delete("/api/v2/tasks/t1", headers=operator)
        limits = {"max_concurrent": {"cuda": {"training": 2, "inference": 4}}}
        await client.post("/api/v2/resources/config", json=limits, headers=admin)
        entries = await self.entries(client, access, keys, 7)
        batch = entries[4].subject
        assert [(entry.name, entry.action, entry.subject, entry.status) for entry in reversed(entries)] == [
            ("the operator", "submit", "t1", 200),
            ("the operator", "set_priority", "t1", 200),
            ("the operator", "submit_batch", batch, 200),
            ("the operator", "cancel", "t1", 200),
            ("the operator", "cancel", "t1", 404),
            ("the operator", "delete", "t1", 200),
            ("the admin", "set_limits", "cuda: training 2, cuda: inference 4", 200),
        ]
        assert len(batch) == 36
        assert {entry.address for entry in entries} == {"127.0.0.1"}
        assert entries[0].key_id == keys[Role.ADMIN].split("_")[1]

    async def test_keys_that_come_and_go_are_named_and_never_shown(self, client, access, keys):
        admin = sent(keys[Role.ADMIN])
        new = (await client.post("/api/v2/keys", json={"name": "cam", "role": "viewer"}, headers=admin)).json()
        await client.delete(f"/api/v2/keys/{new['key_id']}", headers=admin)
        entries = await self.entries(client, access, keys, 2)
        assert [(entry.action, entry.subject) for entry in entries] == [
            ("revoke_key", f"{new['key_id']} (viewer cam)"),
            ("add_key", f"{new['key_id']} (viewer cam)"),
        ]
        assert new["key"].split("_", 2)[2] not in str(access.entries)

    async def test_refused_callers_and_mere_looks_leave_no_entry(self, client, access, keys):
        await client.post("/api/v2/tasks/t1/cancel")
        await client.post("/api/v2/tasks/t1/cancel", headers=sent(keys[Role.VIEWER]))
        await client.get("/api/v2/tasks", headers=sent(keys[Role.ADMIN]))
        await client.post("/api/v2/tasks/t1/kill", headers=sent(keys[Role.OPERATOR]))
        assert [entry.action for entry in await self.entries(client, access, keys, 1)] == ["kill"]

    async def test_without_keys_the_changes_are_local(self, client, access):
        await client.post("/api/v2/training/start", json=bodies.training(task_id="t1"))
        entries = await self.entries(client, access, {Role.ADMIN: ""}, 1)
        assert [(entry.name, entry.key_id) for entry in entries] == [("local", "")]

    async def test_entries_wait_for_a_gatekeeper_that_is_away(self, app, client, access, keys, monkeypatch):
        monkeypatch.setattr("serve_app.audit._PAUSE_S", 0)
        operator = sent(keys[Role.OPERATOR])
        await client.get("/api/v2/tasks", headers=operator)
        access.is_ready = False
        for task_id in ("t1", "t2", "t3"):
            await client.post("/api/v2/training/start", json=bodies.training(task_id=task_id), headers=operator)
        assert access.entries == []
        access.is_ready = True
        await app.state.service.door.audit.flush(5)
        assert [entry.subject for entry in access.entries] == ["t1", "t2", "t3"]

    async def test_pages_of_the_log_follow_each_other(self, client, access, keys):
        for number in range(5):
            await client.post(f"/api/v2/tasks/t{number}/cancel", headers=sent(keys[Role.OPERATOR]))
        await self.entries(client, access, keys, 5)
        found, cursor = [], ""
        for _ in range(3):
            answer = await client.get(f"/api/v2/audit?limit=2&cursor={cursor}", headers=sent(keys[Role.ADMIN]))
            assert answer.status_code == 200, answer.text
            found += [entry["subject"] for entry in answer.json()["entries"]]
            cursor = answer.json()["next_cursor"]
        assert (found, cursor) == (["t4", "t3", "t2", "t1", "t0"], None)


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
        assert "https://cdn.jsdelivr.net" in policy
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


async def status_for(app, path, *, client):
    """The status of a GET by a client of some address."""
    statuses = []

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": client,
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    return statuses[0]
