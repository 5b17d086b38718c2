"""Who may do what, over every route there is; keys and the audit log."""

import asyncio
import hashlib

import pytest
from fastapi.routing import APIRoute

from actors.access import KeyTable, Role
from actors.core.errors import StoreUnavailableError
from configs.settings import Settings
from serve_app.access import GuardedRoute, declared_access
from serve_app.app import all_routes, create_app
from serve_app.context import Ports
from serve_app.key_gate import OpenPaths
from serve_app.schemas.access import AuditResponse, KeyListResponse, KeyResponse, NewKeyResponse
from serve_app.schemas.system import BriefHealthResponse, HealthResponse
from tests.fake_serving import FakeModels, FakePredictor
from tests.fakes import FakeAccess, FakeHealth, FakeLogs, FakeResources, FakeTasks
from tests.http import bodies
from tests.http.callers import error_code, sent

pytestmark = pytest.mark.anyio

#: The exceptions from the rule: who only reads is a viewer, who changes something an operator.
OPEN = {("GET", "/"), ("GET", "/api/v1/health"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready")}
FOR_ADMINS = {
    ("POST", "/api/v2/resources/config"),
    ("GET", "/api/v2/keys"),
    ("POST", "/api/v2/keys"),
    ("DELETE", "/api/v2/keys/{key_id}"),
    ("GET", "/api/v2/audit"),
}
POSTS_OF_VIEWERS = {
    ("POST", "/api/v2/tasks/explain"),
    ("POST", "/api/v2/stream-tickets"),
    ("POST", "/api/v2/predict"),
    ("POST", "/v2/repository/index"),
    ("POST", "/v2/models/{model}/infer"),
    ("POST", "/v2/models/{model}/versions/{version}/infer"),
}


def wanted_role(method, path):
    """The least role that a route should demand."""
    if (method, path) in OPEN:
        return None
    if (method, path) in FOR_ADMINS:
        return Role.ADMIN
    return Role.VIEWER if method == "GET" or (method, path) in POSTS_OF_VIEWERS else Role.OPERATOR


def list_routes():
    """Every (method, path, route) of the application but the pages."""
    app = create_app(
        Ports(FakeTasks(), FakeLogs(), FakeResources(), FakeHealth(), FakeAccess(), FakeModels(), FakePredictor()), Settings()
    )
    own = [route for route in all_routes(app) if isinstance(route, APIRoute) and route.include_in_schema]
    return [(method, route.path, route) for route in own for method in route.methods]


ROUTES = list_routes()
ROUTE_IDS = [f"{method} {path}" for method, path, _ in ROUTES]
PATHS = [(method, path) for method, path, _ in ROUTES]


async def call(client, method, path, **options):
    """Call a route with ids that exist nowhere; a stream would be followed to its end, so an array is asked for, or what is refused."""
    url = path.replace("{task_id}", "t1").replace("{key_id}", "00000000").replace("{batch_id}", "b1").replace("{path}", "f")
    params = {"format": "json"} if path.endswith("/logs") else {"last_event_id": "x" * 101} if path.endswith("/events") else {}
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
    async def test_without_a_key_only_open_routes_answer(self, client, tasks, health, method, path):
        health.states["predictor"] = "healthy"
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
        assert [(await client.get(path)).status_code for path in ("/api/v9/no", "/api/v2/tasks/")] == [401] * 2
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

    async def test_a_store_that_cannot_be_read_lets_nobody_in_and_leaves_pages_open(self, client, access, monkeypatch):
        async def fail(version, wait_s):
            raise StoreUnavailableError("disk I/O error")

        monkeypatch.setattr(access, "watch_keys", fail)
        answer = await client.get("/api/v2/tasks")
        assert error_code(answer) == (503, "not_ready")
        assert answer.headers["x-frame-options"] == "DENY"
        assert (await client.get("/api/v1/health")).status_code == 200

    async def test_known_keys_count_on_while_the_gatekeeper_is_away(self, client, keys, access):
        assert (await client.get("/api/v2/tasks", headers=sent(keys[Role.VIEWER]))).status_code == 200
        access.is_ready = False
        assert (await client.get("/api/v2/tasks", headers=sent(keys[Role.VIEWER]))).status_code == 200
        assert (await client.get("/api/v2/tasks")).status_code == 401

    async def test_health_tells_strangers_only_how_it_is(self, client, keys):
        brief = BriefHealthResponse(**(await client.get("/api/v1/health")).json())
        assert {each.state for each in brief.components.values()} == {"healthy", "not_deployed"}
        HealthResponse(**(await client.get("/api/v1/health", headers=sent(keys[Role.VIEWER]))).json())

    @pytest.mark.usefixtures("keys")
    async def test_strangers_who_ask_often_share_one_look_at_the_components(self, client, health):
        answers = await asyncio.gather(*(client.get("/api/v1/health") for _ in range(5)))
        assert ({answer.status_code for answer in answers}, health.looks) == ({200}, 1)


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
            ("the operator", "set_priority", "t1: priority 1", 200),
            ("the operator", "submit_batch", batch, 200),
            ("the operator", "cancel", "t1", 200),
            ("the operator", "cancel", "t1", 404),
            ("the operator", "delete", "t1", 200),
            ("the admin", "set_limits", "cuda: training 2, cuda: inference 4", 200),
        ]
        assert len(batch) == 36
        assert {entry.address for entry in entries} == {"127.0.0.1"}
        assert entries[0].key_id == keys[Role.ADMIN].split("_")[1]

    async def test_a_refused_submission_is_named_by_the_id_that_its_caller_gave(self, client, access, tasks, keys, line_full):
        operator = sent(keys[Role.OPERATOR])
        tasks.refusals = [line_full]
        for body in (bodies.training(task_id="t1"), bodies.training(task_id="t2", num_classes=0), {"task_id": "../x"}, [1]):
            await client.post("/api/v2/training/start", json=body, headers=operator)
        entries = await self.entries(client, access, keys, 4)
        assert [(entry.subject, entry.status) for entry in reversed(entries)] == [("t1", 429), ("t2", 422), ("", 422), ("", 422)]

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

    async def test_an_upload_names_its_file(self, client, access, keys, settings, tmp_path):
        object.__setattr__(settings, "data_roots", (tmp_path,))
        headers = sent(keys[Role.OPERATOR]) | {"content-type": "image/png"}
        await client.post("/api/v2/data?path=fpv/7.png", content=b"7", headers=headers)
        await client.post("/api/v2/data?path=fpv/7.png", content=b"7", headers=headers)
        entries = await self.entries(client, access, keys, 2)
        assert [(entry.action, entry.subject, entry.status) for entry in reversed(entries)] == [
            ("upload", "fpv/7.png", 200),
            ("upload", "fpv/7.png", 409),
        ]

    async def test_refused_callers_and_mere_looks_leave_no_entry(self, client, access, keys):
        await client.post("/api/v2/tasks/t1/cancel")
        await client.post("/api/v2/tasks/t1/cancel", headers=sent(keys[Role.VIEWER]))
        await client.get("/api/v2/tasks", headers=sent(keys[Role.ADMIN]))
        await client.post("/api/v2/tasks/t1/kill", headers=sent(keys[Role.OPERATOR]))
        assert [entry.action for entry in await self.entries(client, access, keys, 1)] == ["kill"]

    async def test_a_change_whose_client_leaves_is_made_whole_and_noted(self, client, access, keys, tasks, monkeypatch):
        begun, may_go_on, submit = asyncio.Event(), asyncio.Event(), tasks.submit

        async def submit_slowly(submission):
            begun.set()
            await may_go_on.wait()
            return await submit(submission)

        monkeypatch.setattr(tasks, "submit", submit_slowly)
        request = client.post("/api/v2/inference/batch", json=bodies.batch(20), headers=sent(keys[Role.OPERATOR]))
        sending = asyncio.create_task(request)
        await begun.wait()
        sending.cancel()  # as Serve does
        await asyncio.wait([sending])
        may_go_on.set()
        (entry,) = await self.entries(client, access, keys, 1)
        assert (entry.action, entry.status, len(tasks.submissions)) == ("submit_batch", 200, 20)

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
            assert cursor is None or isinstance(cursor, str)
        assert (found, cursor) == (["t4", "t3", "t2", "t1", "t0"], None)


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
