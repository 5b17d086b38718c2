"""The page over an ending of the ingress: it says so, connects again by itself, and misses nothing."""

import json
import os
import signal

from playwright.sync_api import expect

from actors.names import SUPERVISOR
from tests.browser.driving import open_view

#: What Chromium says of requests to a service that is not there for a moment.
BREAKS = ("ERR_", "503", "502", "500")


def kill(service, name):
    """End a part of the service as the kernel does when memory ends."""
    os.kill(json.loads((service.state_dir / f"run/{name}.json").read_text())["pid"], signal.SIGKILL)


def test_the_page_connects_again_after_the_ingress_was_killed_and_shows_what_happened_meanwhile(
    open_page, service, http, faults, waiting_line
):
    faults.allow(*BREAKS)
    task_id = waiting_line("lives through it")
    page = open_page("/tasks")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="lives through it"))
    expect(row.get_by_text("queued")).to_be_visible()
    page.evaluate("window.isSamePage = true")
    page.route("**/api/v2/events*", lambda route: route.abort())  # the page stays without events until the task is cancelled
    kill(service, "ingress")
    expect(page.locator("#connection")).to_have_text("reconnecting…")
    http.wait_until_ready()
    http.post(f"/api/v2/tasks/{task_id}/cancel")
    expect(row.get_by_text("queued")).to_be_visible()
    page.unroute("**/api/v2/events*")
    expect(row.get_by_text("cancelled")).to_be_visible(timeout=60_000)
    expect(page.locator("#connection")).to_have_text("live")
    assert page.evaluate("window.isSamePage")


def test_the_page_reads_its_lists_again_after_the_supervisor_was_killed(open_page, service, http, faults, waiting_line):
    faults.allow(*BREAKS)
    task_id = waiting_line("survives its owner")
    page = open_page("/tasks")
    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="survives its owner"))
    expect(row.get_by_text("queued")).to_be_visible()
    with page.expect_response(lambda answer: "/api/v2/tasks?limit" in answer.url, timeout=60_000):
        kill(service, SUPERVISOR)
    http.post(f"/api/v2/tasks/{task_id}/priority", {"priority": 1})
    expect(row).to_contain_text("1")
    http.post(f"/api/v2/tasks/{task_id}/cancel")
    expect(row.get_by_text("cancelled")).to_be_visible()


def test_a_followed_log_goes_on_after_the_ingress_was_killed_without_a_line_lost_or_doubled(page, service, http, faults):
    faults.allow(*BREAKS)
    task = http.train("log over a break", num_epochs=10_000, keep_checkpoints=1, save_path=str(http.data.parent / "browser_models"))
    open_view(page, f"/tasks/{task['task_id']}")
    expect(page.locator(".log-line").filter(has_text="Epoch 1/10000").first).to_be_visible(timeout=120_000)
    kill(service, "ingress")
    expect(page.get_by_role("region", name="Log", exact=True).get_by_text("reconnecting…")).to_be_visible()
    expect(page.get_by_role("region", name="Log", exact=True).get_by_text("following")).to_be_visible(timeout=60_000)
    http.post(f"/api/v2/tasks/{task['task_id']}/cancel")
    expect(page.get_by_text("complete", exact=True)).to_be_visible(timeout=120_000)
    with page.expect_download() as begun:
        page.get_by_role("button", name="Save as text").click()
    shown = [line.split(" ", 2)[2] for line in begun.value.path().read_text().splitlines()]
    assert shown == [record["message"] for record in http.log(task["task_id"])]
