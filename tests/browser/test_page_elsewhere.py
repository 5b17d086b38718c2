"""Pages of another site, as the origin's own web pages are: they post a training and read its log with ``EventSource.onmessage``."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import expect

from cluster.ports import find_free_port
from tests.browser.driving import new_context

PAGE = """<!doctype html><title>elsewhere</title><button id="train">train</button><ol id="lines"></ol><p id="end"></p>
<script>
const service = new URLSearchParams(location.search).get("service");
const request = JSON.parse(new URLSearchParams(location.search).get("request"));
document.getElementById("train").onclick = async () => {
  const answer = await fetch(`${service}/api/v2/train`, {
    method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify(request)});
  const task = await answer.json();
  document.title = task.task_id;
  const source = new EventSource(`${service}/api/v2/train/${task.task_id}/logs`);
  source.onmessage = (event) => {
    const record = JSON.parse(event.data);
    const line = document.createElement("li");
    line.textContent = record.message;
    line.dataset.epoch = record.metrics ? record.metrics.epoch : "";
    document.getElementById("lines").append(line);
    if (["completed", "failed", "cancelled"].includes(record.status)) {
      source.close();
      document.getElementById("end").textContent = record.status;
    }
  };
};
</script>"""


class _Site(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *_):
        """Say nothing."""


def serve(port):
    site = ThreadingHTTPServer(("127.0.0.1", port), _Site)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    return site


@pytest.fixture
def visit(browser, service, http):
    """Open the page of a site at a port, which wants to train under a name; its errors are noted in the returned list."""
    contexts, sites = [], []

    def open_at(port, name):
        sites.append(serve(port))
        contexts.append(new_context(browser, f"http://127.0.0.1:{port}"))
        page, errors = contexts[-1].new_page(), []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        body = http.training_body(name, num_epochs=2, save_path=str(http.data.parent / "elsewhere"))
        page.goto("/?" + urlencode({"service": service.url, "request": json.dumps(body)}))
        return page, errors

    yield open_at
    for context in contexts:
        context.close()
    for site in sites:
        site.shutdown()
        site.server_close()


def test_a_page_of_a_site_that_cors_origins_names_posts_a_training_and_reads_its_log(visit, service, http):
    page, errors = visit(urlsplit(service.other_site).port, "from_elsewhere")
    page.get_by_role("button").click()
    expect(page.locator("#end")).to_have_text("completed", timeout=120_000)
    assert page.locator("#lines li").all_text_contents() == [record["message"] for record in http.log(page.title())]
    assert page.locator("#lines li[data-epoch='2']").count() >= 1
    assert errors == []


def test_a_page_of_any_other_site_gets_nowhere(visit, http):
    page, errors = visit(find_free_port(), "refused_from_elsewhere")
    with page.expect_event("pageerror"):
        page.get_by_role("button").click()
    tasks = http.client.get("/api/v2/tasks?limit=1000").json()["training_tasks"]
    assert "refused_from_elsewhere" not in [task["name"] for task in tasks]
    assert any("CORS" in line for line in errors)
