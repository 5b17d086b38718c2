"""The web page's files over HTTP: what is served to whom, as what, and what never is."""

import gzip
import os
import re
import subprocess
import sys
from dataclasses import replace

import httpx
import pytest

from serve_app.page_files import CHARTS, PageFiles

BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
INDEX_TEXT = "<!doctype html><title>page</title>"


@pytest.fixture
def folder(tmp_path):
    """A page with a few files, and things beside it that are not its own."""
    ui = tmp_path / "ui"
    (ui / "views").mkdir(parents=True)
    (ui / "index.html").write_text(INDEX_TEXT)
    (ui / "app.js").write_text("export const a = 1;\n" * 200)
    (ui / "views" / "tasks.mjs").write_text("export {};")
    (ui / "style.css").write_text("body {}")
    (ui / "notes.py").write_text("secret = 1")
    (ui / ".hidden.js").write_text("secret")
    (tmp_path / "outside.js").write_text("secret")
    (ui / "link.js").symlink_to(tmp_path / "outside.js")
    return ui


@pytest.fixture
def page(app, folder):
    app.state.service = replace(app.state.service, page=PageFiles(folder))


pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("page")]


@pytest.mark.usefixtures("keys")
async def test_the_page_needs_no_key_although_the_rest_does(client):
    for path in ("/ui", "/ui/", "/ui/app.js", f"/ui/{CHARTS}"):
        assert (await client.get(path)).status_code == 200, path
    assert (await client.get("/uix")).status_code == 401
    assert (await client.get("/api/v2/tasks")).status_code == 401


async def test_files_have_the_types_that_browsers_insist_on(client):
    wanted = {
        "": "text/html; charset=utf-8",
        "/app.js": "text/javascript; charset=utf-8",
        "/views/tasks.mjs": "text/javascript; charset=utf-8",
        "/style.css": "text/css; charset=utf-8",
        f"/{CHARTS}": "text/javascript; charset=utf-8",
    }
    assert {path: (await client.get(f"/ui{path}")).headers["content-type"] for path in wanted} == wanted


async def test_the_page_may_load_only_what_is_its_own(client):
    headers = (await client.get("/ui")).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-cache", "nosniff")


async def test_a_file_is_sent_again_only_once_it_changed(client, folder):
    first = await client.get("/ui/app.js")
    again = await client.get("/ui/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    (folder / "app.js").write_text("export const a = 2;")
    changed = await client.get("/ui/app.js", headers={"if-none-match": first.headers["etag"]})
    assert (changed.status_code, changed.text) == (200, "export const a = 2;")


async def test_an_unchanged_file_is_read_once(folder, monkeypatch):
    files = PageFiles(folder)
    first = files.read("app.js")
    assert files.read("app.js") is first
    os.utime(folder / "app.js", ns=(1, 1))
    assert files.read("app.js") is not first


async def test_head_tells_the_same_without_the_file(client):
    got, head = await client.get("/ui/app.js"), await client.head("/ui/app.js")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", got.headers["etag"])
    assert head.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize(
    ("wish", "is_packed"),
    [("gzip, br", True), ("br;q=1.0, gzip;q=0.8", True), ("identity", False), ("gzip;q=0", False), ("gzip;q=0.0, br", False)],
)
async def test_large_files_are_packed_for_those_who_take_it(client, folder, wish, is_packed):
    request = client.build_request("GET", "/ui/app.js", headers={"accept-encoding": wish})
    answer = await client.send(request, stream=True)
    raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert ("content-encoding" in answer.headers) is is_packed
    assert (gzip.decompress(raw) if is_packed else raw) == (folder / "app.js").read_bytes()
    assert answer.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/ui/../outside.js",
        "/ui/%2e%2e/outside.js",
        "/ui/..%2foutside.js",
        "/ui/views/%2e%2e/%2e%2e/outside.js",
        "/ui//etc/passwd",
        "/ui/%2fetc%2fpasswd",
        "/ui/..%5coutside.js",
        "/ui/link.js",
        "/ui/notes.py",
        "/ui/.hidden.js",
        "/ui/app.js%00.html",
        "/ui/views",
        "/ui/vendor/other.js",
        "/ui/" + "a/" * 50 + "x.js",
        "/ui/" + "a" * 5_000 + ".js",
    ],
)
async def test_nothing_but_the_pages_own_files_can_be_named(client, path):
    raw = httpx.URL("http://127.0.0.1:8000").copy_with(raw_path=path.encode())
    answer = await client.get(raw)
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_a_browser_is_sent_to_the_page_and_programs_get_the_table_of_routes(client):
    sent = await client.get("/", headers=BROWSER)
    assert (sent.status_code, sent.headers["location"], sent.headers["vary"]) == (303, "/ui", "Accept")
    for accept in ("*/*", "application/json"):
        answer = await client.get("/", headers={"accept": accept})
        assert (answer.status_code, answer.json()["ui"]) == (200, "/ui")


async def test_other_methods_are_refused(client):
    answer = await client.post("/ui/app.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_the_library_of_charts_is_found_without_importing_its_package():
    code = "import sys; from serve_app.page_files import *; assert open_page().read(CHARTS); assert 'plotly' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


async def test_the_documentation_needs_no_other_host(client):
    for path, title in (("/docs", "swagger-ui"), ("/redoc", "redoc")):
        page = (await client.get(path)).text
        assert title in page
        assert "://" not in page
        loaded = re.findall(r'(?:src|href)="(/[^"]+)"', page)
        assert loaded
        for each in loaded:
            answer = await client.get(each)
            assert answer.status_code == 200, each
            assert answer.headers["content-type"].split(";")[0] in ("text/javascript", "text/css")
        assert "<script>" not in page  # the policy of the page forbids what stands in it


@pytest.mark.usefixtures("keys")
async def test_the_documentation_is_open_and_nothing_else_below_it_is_there(client):
    assert (await client.get("/docs/swagger-ui.css")).status_code == 200
    assert (await client.get("/docs/core.py")).status_code == 404
    assert (await client.get("/docsx")).status_code == 401
