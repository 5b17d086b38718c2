"""The page where keys are on: it asks for one, keeps it for the tab, and says what a role may not."""

import time
from http import HTTPStatus

import pytest
from playwright.sync_api import expect

from tests.browser.driving import open_view
from tests.service.driving import run_cli

#: What Chromium writes on its console of an answer that refuses.
REFUSED = ("401", "403")
DEADLINE_S = 30


@pytest.fixture
def key_of(service, faults):
    """Make keys of the running service by their role; all are taken back at the end, and then it needs none again."""
    faults.allow(*REFUSED)
    made = []

    def make(role):
        added = run_cli("keys", "add", "--role", role, "--name", role, "--state-dir", service.state_dir, cwd=service.data_root)
        assert added.returncode == 0, added.stderr
        made.append(added.stderr.split("This is key ")[1].split(",")[0])
        return added.stdout.strip()

    yield make
    for key_id in made:
        assert run_cli("keys", "revoke", key_id, "--state-dir", service.state_dir, cwd=service.data_root).returncode == 0


def wait_for_the_gate(page, service):
    """A new key counts within a second; the page's own errors meanwhile are allowed."""
    end = time.monotonic() + DEADLINE_S
    while page.request.get(f"{service.url}/api/v2/tasks").status != HTTPStatus.UNAUTHORIZED:
        assert time.monotonic() < end, "the new key does not count"
        page.wait_for_timeout(50)


def enter(page, key):
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Use this key").click()


def test_a_key_is_asked_for_once_and_kept_for_the_tab_alone(page, context, service, key_of):
    open_view(page, "/limits")
    assert not page.get_by_role("dialog").is_visible()  # no keys, no question
    key = key_of("admin")
    wait_for_the_gate(page, service)
    page.reload()
    expect(page.get_by_role("dialog")).to_contain_text("This service needs a key")
    enter(page, key)
    expect(page.locator("main")).to_contain_text("cuda:0")
    expect(page.locator("#connection")).to_have_text("live")
    page.reload()
    expect(page.locator("main")).to_contain_text("cuda:0")
    assert not page.get_by_role("dialog").is_visible()
    other_tab = context.new_page()
    other_tab.goto("/ui/#/overview")
    expect(other_tab.get_by_role("dialog")).to_contain_text("This service needs a key")


def test_a_wrong_key_is_asked_for_again_and_a_late_one_brings_the_page_to_life(page, service, key_of):
    key = key_of("admin")
    open_view(page, "/limits")
    wait_for_the_gate(page, service)
    page.reload()
    enter(page, "rfuav_wrong")
    dialog = page.get_by_role("dialog")
    expect(page.get_by_text("Try again").or_(dialog).first).to_be_visible()
    if not dialog.is_visible():
        page.get_by_role("button", name="Try again").click()
    enter(page, key)
    expect(page.locator("main")).to_contain_text("cuda:0")
    expect(page.locator("#connection")).to_have_text("live")


def test_what_a_viewer_may_not_is_said_in_plain_words(page, service, key_of):
    key_of("admin")
    viewer = key_of("viewer")
    page.goto("/ui/#/limits")
    wait_for_the_gate(page, service)
    page.reload()
    enter(page, viewer)
    field = page.locator("main input[type=number]").first
    field.fill("7")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_contain_text("admin")
