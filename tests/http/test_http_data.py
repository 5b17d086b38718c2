"""Data roots over HTTP: looking into folders, uploads, and the files of tasks."""

import os
import shutil
import stat

import anyio
import httpx
import pytest

from actors.files import disk_room
from configs.settings import Settings
from serve_app import receiving
from serve_app.file_answer import parse_range
from serve_app.http_errors import RequestRefusedError
from serve_app.schemas.data import DataEntry, DataResponse, TaskFilesResponse
from serve_app.shape_data import file_time
from tests.http import bodies

pytestmark = pytest.mark.anyio

DATA = "/api/v2/data"
BYTES = {"content-type": "application/octet-stream"}


@pytest.fixture
def world(tmp_path):
    for name in ("first/pictures/sub", "first/var", "first/.git", "second", "outside"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(5):
        (tmp_path / f"first/pictures/{number}.png").write_bytes(b"x" * number)
    (tmp_path / "outside/secret").write_text("secret")
    return tmp_path


@pytest.fixture
def settings(world):
    return Settings(data_roots=(world / "first", world / "second"), state_dir=world / "first/var", max_upload_mb=1)


async def listing(client, **params):
    answer = await client.get(DATA, params=params)
    assert answer.status_code == 200, answer.text
    return DataResponse(**answer.json())


async def refusal(client, **params):
    answer = await client.get(DATA, params=params)
    return answer.status_code, answer.json()["code"]


class TestLooking:
    async def test_without_a_path_the_roots_are_listed_by_name(self, client, world):
        page = await listing(client)
        assert [(each.name, each.path, each.kind) for each in page.entries] == [
            ("first", ".", "folder"),
            ("second", str(world / "second"), "folder"),
        ]
        assert str(world) not in page.entries[0].model_dump_json(), "the first root needs no absolute path"

    async def test_a_folder_is_listed_in_pages_with_paths_that_requests_take(self, client):
        seen, cursor = [], None
        while True:
            page = await listing(client, path="pictures", limit=4, **({"cursor": cursor} if cursor else {}))
            seen += page.entries
            cursor = page.next_cursor
            if cursor is None:
                break
        assert [each.path for each in seen] == [*(f"pictures/{number}.png" for number in range(5)), "pictures/sub"]
        assert [(each.kind, each.size_bytes) for each in seen[4:]] == [("file", 4), ("folder", None)]
        assert (page.path, page.parent) == ("pictures", ".")
        assert (await listing(client, path=".")).parent is None

    async def test_hidden_names_are_left_out_and_the_services_own_state_is_unusable(self, client):
        page = await listing(client, path=".")
        assert [(each.name, each.kind) for each in page.entries] == [("pictures", "folder"), ("var", "unusable")]

    async def test_links_are_shown_as_what_they_lead_to_and_those_out_of_the_roots_as_unusable(self, client, world):
        folder = world / "second"
        (folder / "a").symlink_to(world / "first/pictures")
        (folder / "b").symlink_to(world / "outside/secret")
        (folder / "c").symlink_to("nowhere")
        (folder / "d").symlink_to("/dev/zero")
        os.mkfifo(folder / "e")
        os.close(os.open(os.fsencode(folder) + b"/f\xff", os.O_CREAT))
        page = await listing(client, path=str(folder))
        assert [each.kind for each in page.entries] == ["folder", *["unusable"] * 5]
        assert all(each.size_bytes is None for each in page.entries)

    @pytest.mark.parametrize(
        ("params", "expected"),
        [
            ({"path": ".."}, (403, "path_forbidden")),
            ({"path": "/etc"}, (403, "path_forbidden")),
            ({"path": "var"}, (403, "path_forbidden")),
            ({"path": "nothing"}, (404, "path_not_found")),
            ({"path": "pictures/0.png"}, (422, "invalid_field")),
            ({"path": "a\0b"}, (422, "invalid_field")),
            ({"path": "x" * 5000}, (422, "invalid_field")),
            ({"path": "x" * 3000}, (404, "path_not_found")),
            ({"path": ".", "limit": 0}, (422, "invalid_field")),
            ({"path": ".", "cursor": "%"}, (422, "invalid_field")),
            ({"path": ".", "cursor": "ä"}, (422, "invalid_field")),
        ],
    )
    async def test_what_cannot_be_listed_is_refused(self, client, params, expected):
        assert await refusal(client, **params) == expected


async def put(client, path, content=b"content", headers=BYTES, **params):
    return await client.post(DATA, params={"path": path} | params, content=content, headers=headers)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestUploads:
    async def test_a_file_appears_whole_with_the_folders_above_it(self, client, world):
        content = os.urandom(300_000)
        answer = await put(client, "new/set/a.iq", content)
        assert answer.status_code == 200, answer.text
        entry = DataEntry(**answer.json())
        assert (entry.path, entry.kind, entry.size_bytes) == ("new/set/a.iq", "file", 300_000)
        path = world / "first/new/set/a.iq"
        assert path.read_bytes() == content
        assert stat.S_IMODE(path.stat().st_mode) & 0o600 == 0o600
        assert files_below(world / "first/new") == ["set/a.iq"]

    async def test_a_picture_may_say_what_it_is(self, client):
        assert (await put(client, "a.png", headers={"content-type": "image/png"})).status_code == 200

    async def test_a_file_is_replaced_only_on_request(self, client, world):
        assert (await put(client, "pictures/4.png")).json()["code"] == "path_exists"
        assert (world / "first/pictures/4.png").read_bytes() == b"xxxx"
        assert (await put(client, "pictures/4.png", overwrite=True)).status_code == 200
        assert (world / "first/pictures/4.png").read_bytes() == b"content"

    async def test_of_two_uploads_of_one_name_the_second_to_end_is_refused(self, client, world):
        async def slowly():
            yield b"first"
            assert (await put(client, "a", b"second")).status_code == 200
            yield b"more"

        answer = await put(client, "a", slowly())
        assert (answer.status_code, answer.json()["code"]) == (409, "path_exists")
        assert (world / "first/a").read_bytes() == b"second"
        assert files_below(world / "first") == ["a", *files_below_pictures()]

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("../a", (403, "path_forbidden")),
            ("/etc/cron.d/a", (403, "path_forbidden")),
            ("var/store.sqlite", (403, "path_forbidden")),
            (".env", (403, "path_forbidden")),
            (".git/hooks/pre-commit", (403, "path_forbidden")),
            ("pictures", (409, "path_exists")),
            (".", (422, "invalid_field")),
            ("a\nb", (422, "invalid_field")),
            ("a\\b", (422, "invalid_field")),
            ("x" * 256, (422, "invalid_field")),
            ("pictures/0.png/a", (409, "path_exists")),
        ],
    )
    async def test_a_path_that_no_upload_may_have_is_refused(self, client, world, path, expected):
        before = files_below(world)
        answer = await put(client, path, overwrite=True)
        assert (answer.status_code, answer.json()["code"]) == expected
        assert files_below(world) == before

    async def test_a_link_out_of_the_roots_is_not_written_through(self, client, world):
        (world / "first/link").symlink_to(world / "outside")
        (world / "first/alias").symlink_to(world / "outside/secret")
        for path in ("link/a", "alias"):
            assert (await put(client, path, overwrite=True)).status_code == 403
        assert files_below(world / "outside") == ["secret"]
        assert (world / "outside/secret").read_text() == "secret"

    async def test_a_folder_that_is_exchanged_for_a_link_during_the_upload_leads_nowhere(self, client, world):
        async def slowly():
            yield b"a"
            (world / "second/sub").symlink_to(world / "outside")
            yield b"b"

        answer = await put(client, str(world / "second/sub/a"), slowly())
        assert answer.status_code == 409, answer.text
        assert files_below(world / "outside") == ["secret"]
        assert files_below(world / "second") == []

    @pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "a"])
    async def test_what_a_page_of_another_site_could_send_is_refused(self, client, kind):
        assert (await put(client, "a", headers={"content-type": kind})).status_code == 415

    async def test_too_large_a_body_is_refused_announced_or_not(self, client, world):
        async def parts():
            for _ in range(5):
                yield b"x" * 400_000

        for content in (b"x" * 1_100_000, parts()):
            answer = await put(client, "a", content)
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
        assert files_below(world / "first") == files_below_pictures()

    async def test_nothing_is_left_of_a_client_that_breaks_off(self, app, world):
        sent = iter([{"type": "http.request", "body": b"x" * 100, "more_body": True}, {"type": "http.disconnect"}])
        answer = await call(app, lambda: next(sent))
        assert answer["status"] == 400
        assert files_below(world / "first") == files_below_pictures()

    async def test_nothing_is_left_of_a_client_that_falls_silent(self, app, world, monkeypatch):
        monkeypatch.setattr(receiving, "SILENCE_S", 0.01)
        answer = await call(app, None)
        assert answer["status"] == 400
        assert files_below(world / "first") == files_below_pictures()

    async def test_what_would_leave_the_store_no_room_is_refused(self, client, world, monkeypatch):
        free = shutil.disk_usage(world)
        monkeypatch.setattr(shutil, "disk_usage", lambda _folder: free._replace(free=disk_room.RESERVE_BYTES + len(b"content")))
        assert (await put(client, "small")).status_code == 200
        answer = await put(client, "larger", content=b"contents")
        assert (answer.status_code, answer.json()["code"]) == (503, "disk_full")

    async def test_a_full_disk_is_told_and_nothing_is_left(self, client, world, monkeypatch):
        def fail(_descriptor):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fail)
        answer = await put(client, "new/a")
        assert (answer.status_code, answer.json()["code"]) == (503, "disk_full")
        assert int(answer.headers["retry-after"]) > 0
        assert files_below(world / "first") == files_below_pictures()
        assert not (world / "first/new").exists()


def files_below_pictures():
    return [f"pictures/{number}.png" for number in range(5)]


async def call(app, receive):
    """Send an upload by hand; without ``receive``, its body never comes. Returns the start of the answer."""
    sent = []

    async def send(message):
        sent.append(message)

    async def wait():
        return receive() if receive else await anyio.sleep_forever()

    scope = {"type": "http", "method": "POST", "path": DATA, "query_string": b"path=a", "http_version": "1.1", "scheme": "http"}
    headers = [(b"host", b"localhost"), (b"content-type", b"application/octet-stream")]
    await app(scope | {"headers": headers, "raw_path": DATA.encode(), "root_path": "", "client": ("127.0.0.1", 1)}, wait, send)
    return sent[0]


@pytest.fixture
async def task_id(client, world):
    answer = await client.post("/api/v2/training/start", json=bodies.training(save_path="out", task_id="t1"))
    assert answer.status_code == 200
    out = world / "first/out"
    (out / "valid/a").mkdir(parents=True)
    (out / ".attempt-1").mkdir()
    for name in ("b.csv", "a.json", "valid/a/1.png", "valid.log", ".fence", ".attempt-1/half"):
        (out / name).write_text(name)
    (out / "link").symlink_to(world / "outside/secret")
    (out / "linked").symlink_to(world / "outside")
    os.mkfifo(out / "pipe")
    return "t1"


class TestTaskFiles:
    async def test_published_files_are_listed_in_pages(self, client, task_id):
        seen, cursor = [], ""
        while cursor is not None:
            answer = await client.get(f"/api/v2/tasks/{task_id}/files", params={"limit": 1, "cursor": cursor})
            page = TaskFilesResponse(**answer.json())
            seen += page.files
            cursor = page.next_cursor
        assert [each.path for each in seen] == ["a.json", "b.csv", "valid/a/1.png", "valid.log"]
        assert seen[0].size_bytes == len("a.json")

    async def test_a_task_that_wrote_nothing_yet_has_no_files(self, client):
        await client.post("/api/v2/training/start", json=bodies.training(save_path="later", task_id="t2"))
        assert (await client.get("/api/v2/tasks/t2/files")).json()["files"] == []

    async def test_a_file_is_downloaded_for_saving_only(self, client, task_id):
        answer = await client.get(f"/api/v2/tasks/{task_id}/files/valid/a/1.png")
        assert (answer.status_code, answer.text) == (200, "valid/a/1.png")
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''1.png"
        assert answer.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize(
        ("wanted", "status", "text"),
        [
            ("bytes=0-0", 206, "a"),
            ("bytes=2-", 206, "json"),
            ("bytes=-4", 206, "json"),
            ("bytes=2-100", 206, "json"),
            ("bytes=6-", 416, None),
            ("bytes=-0", 416, None),
            ("bytes=3-1", 200, "a.json"),
            ("bytes=0-1,3-4", 200, "a.json"),
            ("lines=1-2", 200, "a.json"),
            ("bytes=" + "9" * 400 + "-", 200, "a.json"),
        ],
    )
    async def test_ranges_are_answered(self, client, task_id, wanted, status, text):
        answer = await client.get(f"/api/v2/tasks/{task_id}/files/a.json", headers={"range": wanted})
        assert answer.status_code == status
        if text is None:
            assert (answer.json()["code"], answer.headers["content-range"]) == ("range_not_satisfiable", "bytes */6")
        else:
            assert answer.text == text
        if status == 206:
            assert answer.headers["content-length"] == str(len(text))

    async def test_a_range_of_another_version_gets_the_whole_file(self, client, task_id):
        url = f"/api/v2/tasks/{task_id}/files/a.json"
        etag = (await client.get(url)).headers["etag"]
        assert (await client.get(url, headers={"range": "bytes=2-", "if-range": etag})).status_code == 206
        assert (await client.get(url, headers={"range": "bytes=2-", "if-range": '"old"'})).text == "a.json"

    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("nothing", 404),
            ("valid", 404),
            ("pipe", 404),
            ("a.json/b", 404),
            ("x" * 300, 404),
            ("link", 403),
            ("linked/secret", 403),
            (".fence", 403),
            (".attempt-1/half", 403),
            ("valid/%2e%2e/.fence", 403),
            ("%2e%2e/pictures/0.png", 403),
            ("..%2f..%2foutside%2fsecret", 403),
            ("%2fetc%2fpasswd", 403),
            ("a%00b", 403),
            ("valid//0.png", 403),
        ],
    )
    async def test_what_the_task_did_not_publish_is_refused(self, client, task_id, path, status):
        answer = await client.get(httpx.URL(f"http://localhost/api/v2/tasks/{task_id}/files/{path}"))
        assert answer.status_code == status, answer.text
        assert "secret" not in answer.json()["message"].replace(path, "").replace("outside/secret", "")

    async def test_an_output_folder_that_became_a_link_out_of_the_roots_is_closed(self, client, task_id, world):
        (world / "first/out").rename(world / "first/old")
        (world / "first/out").symlink_to(world / "outside")
        for path in ("", "/secret"):
            answer = await client.get(f"/api/v2/tasks/{task_id}/files{path}")
            assert (answer.status_code, answer.json()["code"]) == (403, "path_forbidden")

    async def test_the_services_state_is_closed_though_it_lies_in_the_output_folder(self, client, world):
        (world / "first/var/store.sqlite").write_text("keys")
        await client.post("/api/v2/training/start", json=bodies.training(save_path=".", task_id="t3"))
        names = [each["path"] for each in (await client.get("/api/v2/tasks/t3/files")).json()["files"]]
        assert names == files_below_pictures()
        assert (await client.get("/api/v2/tasks/t3/files/var/store.sqlite")).status_code == 403

    @pytest.mark.parametrize("path", ["files", "files/a"])
    async def test_files_of_no_task_are_not_found(self, client, path):
        assert (await client.get(f"/api/v2/tasks/nobody/{path}")).json()["code"] == "task_not_found"


def test_a_time_in_no_year_that_a_date_can_tell_is_brought_into_one():
    assert file_time(2.0**62).startswith("9999-12-31")
    assert file_time(-(2.0**62)).startswith("1970-01-01")


def test_a_range_of_an_empty_file_is_refused():
    with pytest.raises(RequestRefusedError):
        parse_range("bytes=0-", 0)
