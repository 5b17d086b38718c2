"""Tickets for log streams: what they open, what they do not, and when they end."""

import pytest

from actors.access import Role
from serve_app.schemas.access import StreamTicketResponse
from serve_app.tickets import TICKET_LIFE_S, TicketOffice
from tests.fakes import START, make_line
from tests.http import bodies
from tests.http.callers import error_code, sent
from tests.http.stream import open_stream

pytestmark = pytest.mark.anyio


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

    async def test_an_open_stream_ends_with_its_key(self, app, client, keys, ticket, logs):
        async with open_stream(app, ticket.path) as viewer:
            assert (await viewer.next_record())[1]["message"] == "line of t1"
            key_id = keys[Role.VIEWER].split("_")[1]
            await client.delete(f"/api/v2/keys/{key_id}", headers=sent(keys[Role.ADMIN]))
            await logs.write("t1", make_line("not for them"))
            last = [each[1] for each in await viewer.rest()]
        assert [(each["status"], each["code"]) for each in last] == [("error", "key_required")]

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
