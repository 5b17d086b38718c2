"""What the page knows live: it misses no change whatever comes first, asks for a key once, and rests where nobody looks."""

import json
import re

from playwright.sync_api import expect

from tests.browser.driving import open_view

LISTS = re.compile(r"/api/v2/tasks\?limit=1000")
KNOWN_STATUS = 'async ([id, status]) => (await import("/ui/js/state.js")).tasks.get(id)?.status === status'


def row_of(page, name):
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def need_key(page, key):
    """Let the service answer 401 to whoever sends another key than this one; gives the list of such answers."""
    refused = []

    def answer(route):
        if route.request.headers.get("x-api-key") == key:
            route.continue_()
            return
        refused.append(route.request.url)
        route.fulfill(status=401, json={"status": "error", "code": "key_needed", "message": "this takes a key"})

    page.route("**/api/v2/**", answer)
    return refused


def hide(page, is_hidden):
    page.evaluate(
        """isHidden => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        is_hidden,
    )


def is_events(request):
    return request.url.endswith("/api/v2/events")


def test_a_refused_key_is_not_asked_for_again_until_the_visitor_wishes_and_then_everything_is_live(page, faults, waiting_line):
    faults.allow("401")
    waiting_line("behind the key")
    refused = need_key(page, "right")
    page.goto("/ui/#/tasks")
    dialog = page.get_by_role("dialog", name="This service needs a key")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("no live updates")
    before = len(refused)
    page.evaluate("location.hash = '#/overview'")
    expect(page.get_by_role("alert")).to_be_visible()
    page.evaluate("location.hash = '#/tasks'")
    expect(page.get_by_role("alert")).to_be_visible()
    assert len(refused) > before
    expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Enter a key").click()
    dialog.get_by_label("API key").fill("right")
    dialog.get_by_role("button", name="Use this key").click()
    expect(row_of(page, "behind the key")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("live")
    expect(page.get_by_role("button", name="Forget the key")).to_be_visible()
    waiting_line("comes by the stream")
    expect(row_of(page, "comes by the stream")).to_be_visible()


def test_what_the_stream_told_while_the_list_was_read_is_not_undone_by_it(page, http, waiting_line):
    task_id = waiting_line("cancelled meanwhile")
    old = http.client.get("/api/v2/tasks?limit=1000").json()
    assert next(task for task in old["training_tasks"] if task["task_id"] == task_id)["status"] == "queued"
    held = []

    def hold(route):
        held.append(route)

    page.route(LISTS, hold, times=1)
    with page.expect_request(LISTS):
        page.goto("/ui/#/tasks")
    expect(page.locator("#connection")).to_have_text("live")
    http.post(f"/api/v2/tasks/{task_id}/cancel")
    page.wait_for_function(KNOWN_STATUS, arg=[task_id, "cancelled"])
    [route] = held
    route.fulfill(json=old)
    expect(row_of(page, "cancelled meanwhile").get_by_text("cancelled", exact=True)).to_be_visible()


def test_a_list_that_was_read_before_the_stream_began_is_read_again(page, http, waiting_line):
    task_id = waiting_line("changed between")
    waiting = []

    def wait(route):
        waiting.append(route)

    page.route("**/api/v2/events", wait, times=1)
    page.goto("/ui/#/tasks")
    expect(row_of(page, "changed between").get_by_text("queued", exact=True)).to_be_visible()
    http.post(f"/api/v2/tasks/{task_id}/cancel")
    waiting[0].continue_()
    expect(row_of(page, "changed between").get_by_text("cancelled", exact=True)).to_be_visible()


def test_a_hidden_tab_gives_its_stream_back_and_goes_on_where_it_was(open_page):
    page = open_page("/tasks")
    expect(page.locator("#connection")).to_have_text("live")
    with page.expect_event("requestfailed", is_events):
        hide(page, True)
    with page.expect_request(is_events) as again:
        hide(page, False)
    assert again.value.headers["last-event-id"]


def test_the_view_that_shows_no_task_is_live_too(open_page):
    expect(open_page("/try").locator("#connection")).to_have_text("live")


def test_a_dialog_ends_with_its_view(open_page, waiting_line):
    waiting_line("left with a dialog")
    page = open_page("/tasks")
    page.get_by_role("button", name="Why left with a dialog waits").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.evaluate("location.hash = '#/overview'")
    expect(page.locator("main h1")).to_have_text("Overview")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_an_older_task_that_is_deleted_leaves_the_list(page, http, waiting_line):
    task_id = waiting_line("an older one")
    http.post(f"/api/v2/tasks/{task_id}/cancel")

    def newest_only(route):
        answer = route.fetch()
        found = answer.json()
        found["training_tasks"] = [task for task in found["training_tasks"] if task["task_id"] != task_id]
        route.fulfill(response=answer, body=json.dumps(found | {"next_cursor": "older"}))

    waiting_line("a newer one")
    page.route(LISTS, newest_only)
    page.route(re.compile("cursor=older"), lambda route: route.continue_(url=re.sub("&cursor=older", "", route.request.url)))
    open_view(page, "/tasks")
    page.get_by_role("button", name="Older tasks").click()
    expect(row_of(page, "an older one")).to_be_visible()
    assert http.client.delete(f"/api/v2/tasks/{task_id}").status_code == 200
    expect(row_of(page, "an older one")).to_have_count(0)
    expect(row_of(page, "a newer one")).to_be_visible()
